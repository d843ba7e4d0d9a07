"""The rows of the benchmark: a method, its training moments, and the settings that differ from its preset."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sage_ns.bench.row_variants import VARIANTS, applied, ending
from sage_ns.errors import SageError

if TYPE_CHECKING:
    from sage_ns.capture.splits import FramesMode


@dataclass(frozen=True)
class Row:
    """One row. Settings are values by dotted name, as :func:`sage_ns.plugin.methods.configured` takes them."""

    title: str
    method: str = "sage-multiview"
    frames: FramesMode = "single"
    """training moments"""
    trained_with: Mapping[str, Any] = field(default_factory=dict)
    """settings of the training"""
    drawn_with: Mapping[str, Any] = field(default_factory=dict)
    """settings that act only when the avatar is drawn: rows that differ only in these share one training"""
    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """settings of the training that name a file in the capture's folder, with its possible names; where there is none,
    the row is skipped"""


class _Rows(dict[str, Row]):
    """Named rows. Subscription also finds :data:`OTHER_ROWS` and variants; iteration and ``in`` see named rows only."""

    def __missing__(self, name: str) -> Row:
        if name in OTHER_ROWS:
            return OTHER_ROWS[name]
        found = ending(name)
        if found is None:
            raise KeyError(name)
        base, variant, text = found
        return applied(self[f"{base}-single" if f"{base}-single" in self else base], variant, text)


SINGLE, MULTI, SAGE = "surfels-single", "surfels-multi", "sage"
GAUSSIANS_SINGLE, GAUSSIANS_MULTI = "gaussian-avatars-single", "gaussian-avatars-multi"

ROWS: Mapping[str, Row] = _Rows(
    {
        SINGLE: Row("surfels, one moment", "surfels"),
        MULTI: Row("surfels, all moments", "surfels", "multi"),
        GAUSSIANS_SINGLE: Row("GaussianAvatars' recipe, one moment", "gaussian-avatars"),
        GAUSSIANS_MULTI: Row("GaussianAvatars' recipe, all moments", "gaussian-avatars", "multi"),
        SAGE: Row("SAGE, one moment"),
        "sage-networks": Row("SAGE with networks", trained_with={"pipeline.model.networks": True}),
        "sage-no-networks": Row("SAGE without networks", trained_with={"pipeline.model.networks": False}),
        "sage-no-self-supervision": Row(
            "SAGE without self-supervision", trained_with={"pipeline.steps.self_supervise": 0}
        ),
        "sage-no-anchor": Row("SAGE, no pictures in self-supervision", trained_with={"pipeline.anchor": 0.0}),
        "sage-no-correction": Row("SAGE without correction", trained_with={"pipeline.model.correction": False}),
        "sage-no-wrinkles": Row("SAGE without wrinkles", drawn_with={"pipeline.model.wrinkles": 0.0}),
        "sage-no-mouth": Row("SAGE without mouth", trained_with={"pipeline.model.mouth": False}),
        "sage-no-refinement": Row(
            "SAGE with unrefined tracking", trained_with={"pipeline.model.refine_tracking": "never"}
        ),
        "sage-always-refined": Row(
            "SAGE, tracking refined as if surely wrong", trained_with={"pipeline.model.refine_tracking": "always"}
        ),
        "sage-similarity-correction": Row(
            "SAGE with the paper's correction",
            trained_with={"pipeline.model.correction_source": "similarity", "pipeline.model.correction_gamma": 1.0},
        ),
        "sage-rendered-wrinkles": Row(
            "SAGE with the paper's wrinkles",
            drawn_with={"pipeline.model.wrinkle_rule": "rendered", "pipeline.model.wrinkle_dimming": 0.05},
        ),
        "sage-field-colors": Row(
            "SAGE, phase 2 aims at the field's colours", trained_with={"pipeline.appearance_source": "field"}
        ),
        "sage-hit-depths": Row(
            "SAGE, distortion and field's teacher by hits",
            trained_with={"pipeline.model.distortion": "hit", "pipeline.model.field_teacher": "hit"},
        ),
        "sage-paper": Row("the paper's algorithm as written", "sage-paper"),
        "sage-paper-no-self-supervision": Row(
            "the paper's, without self-supervision", "sage-paper", trained_with={"pipeline.steps.self_supervise": 0}
        ),
        "sage-paper-no-correction": Row(
            "the paper's, without correction", "sage-paper", trained_with={"pipeline.model.correction": False}
        ),
        "sage-paper-no-networks": Row(
            "the paper's, without networks",
            "sage-paper",
            trained_with={"pipeline.model.networks": False, "pipeline.model.networks_alone": False},
        ),
    }
)
"""Rows in the order of the table. One of the two rows about networks equals ``sage``; the preset determines which."""

SAGE_MULTI = "sage-multi"

MONOCULAR, MONOCULAR_ALL = "sage-monocular", "sage-monocular-all-frames"
_MODEL = "pipeline.model."


def _turning(title: str, **changed: Any) -> Row:
    """Return a row of one camera and a turning head, with settings of the model by name."""
    settings = {_MODEL + name: value for name, value in changed.items()}
    return Row(title, MONOCULAR, "rotation", trained_with=settings)


MONOCULAR_ROWS: Mapping[str, Row] = {
    "surfels-light-multi": Row("surfels, light of the room", "surfels", "multi", {_MODEL + "room_light": True}),
    "sage-light-multi": Row("SAGE at one moment's pictures, light of the room", frames="multi", trained_with={
        _MODEL + "room_light": True, "pipeline.datamanager.registered_views": 0}),
    "sage-monocular-no-field-rays": _turning("head-relative views, no rays of posed frames", field_warp="none"),
    MONOCULAR: _turning("SAGE, one camera and a turning head"),
    "sage-monocular-rig-rays": _turning("rays bent by the rig", field_warp="rig"),
    "sage-monocular-refined": _turning("tracking refined frame by frame", refine_frames=True),
    "sage-monocular-no-light": _turning("without the light of the room", room_light=False),
    "sage-monocular-no-exposure": _turning("without exposure", exposure=False),
    "sage-monocular-no-fill": _turning("unseen places as they are", fill_unseen=False),
    "sage-monocular-no-sdf": _turning("without field, phase 2 fits pictures alone", with_sdf=False),
    "sage-monocular-no-registered-views": Row(
        "without head-relative views", MONOCULAR, "rotation", {"pipeline.datamanager.registered_views": 0}
    ),
    "sage-monocular-no-self-supervision": Row(
        "without self-supervision", MONOCULAR, "rotation", {"pipeline.steps.self_supervise": 0}
    ),
}  # fmt: skip
"""Rows of the suite ``monocular``: each part added, the whole, and the whole without each part."""

ONESHOT = "sage-oneshot"
PRIOR_MESHES = ("prior_mesh.ply", "prior_mesh.obj", "prior_mesh.glb")
"""Names of the closed mesh of the person in a capture's folder, for the row ``sage-prior-mesh``."""


def _photo(title: str, **changed: Any) -> Row:
    """Return a row of one picture, with settings of the model by name."""
    return Row(title, ONESHOT, "photo", trained_with={_MODEL + name: value for name, value in changed.items()})


ONESHOT_ROWS: Mapping[str, Row] = {
    ONESHOT: _photo("SAGE, one picture"),
    "sage-oneshot-start": Row(
        "the completed person, hardly trained", ONESHOT, "photo", {"pipeline.steps.self_supervise": 0,
        "pipeline.steps.reconstruct": 1}
    ),
    "sage-oneshot-no-residual": _photo("without the smooth change", residual_steps=0),
    "sage-oneshot-painted-teeth": _photo("lips and skin fitted to shown teeth, too", mouth_from_pictures=False),
    "sage-oneshot-fill": _photo("completed without knowledge of other people", complete_from="fill"),
    "sage-oneshot-no-completion": _photo("SAGE from what the picture allows", complete_from="none"),
    "sage-oneshot-no-pseudo-views": Row("without pseudo views", ONESHOT, "photo", {"pipeline.pseudo_views": "none"}),
    "sage-oneshot-no-sdf": _photo("without field, phase 2 fits pictures alone", with_sdf=False),
    "sage-oneshot-no-self-supervision": Row(
        "without self-supervision", ONESHOT, "photo", {"pipeline.steps.self_supervise": 0}
    ),
}  # fmt: skip
"""Rows of one picture: the whole, its start, and the whole without each part."""

OTHER_ROWS: Mapping[str, Row] = {
    SAGE_MULTI: Row("SAGE, all moments", frames="multi"),
    "sage-room-light": Row("SAGE, one moment, light of the room", trained_with={_MODEL + "room_light": True}),
    **MONOCULAR_ROWS,
    **ONESHOT_ROWS,
    "sage-people": Row("SAGE, one moment, from a completed person", trained_with={_MODEL + "complete_from": "people"}),
    "sage-monocular-completed": _turning("from a completed person", complete_from="people"),
    "sage-controlled": Row(
        "SAGE, surfels follow control surfels", trained_with={_MODEL + "correction_source": "controlled"}
    ),
    "sage-split": Row("SAGE, split where expressions stretch", trained_with={"pipeline.split_deforming": True}),
    "sage-prior-mesh": Row("SAGE, field from a prior mesh", beside={_MODEL + "prior_mesh": PRIOR_MESHES}),
    MONOCULAR_ALL: Row("SAGE, one camera, all frames", MONOCULAR, "all", {_MODEL + "field_warp": "rig"}),
}
"""Rows that run only if a suite or the user names them."""


def find_row(name: str) -> Row:
    """Return a row by its name: one of :data:`ROWS`, of :data:`OTHER_ROWS`, or a variant (``sage-4-moments``).

    Raises:
        SageError: there is no such row; lists all rows and variants.
    """
    try:
        return ROWS[name]
    except KeyError:
        raise _unknown([name]) from None


def is_row(name: str) -> bool:
    """Return whether :func:`find_row` finds a row."""
    try:
        return ROWS[name] is not None
    except KeyError:
        return False


def check_rows(names: Sequence[str]) -> None:
    """Check that all names are rows.

    Raises:
        SageError: a name is not a row; lists all rows and variants.
    """
    unknown = [name for name in names if not is_row(name)]
    if unknown:
        raise _unknown(unknown)


def _unknown(names: Sequence[str]) -> SageError:
    variants = ", ".join(f"ROW{variant.example}" for variant in VARIANTS)
    return SageError(
        f"There is no row {', '.join(map(repr, names))}. Rows: {', '.join((*ROWS, *OTHER_ROWS))}. Variants: {variants}."
    )


def in_order(names: Iterable[str]) -> list[str]:
    """Return the names, each once, in the order of the table: by row, then variants by their numbers.

    Names that are no rows come last, in the order in which they are given.
    """
    each_once = list(dict.fromkeys(names))
    known = sorted((name for name in each_once if is_row(name)), key=_place)
    return [*known, *(name for name in each_once if not is_row(name))]


def _place(name: str) -> tuple[int, tuple[tuple[int, str], ...]]:
    base, suffix = _parted(name)
    named = [*ROWS, *OTHER_ROWS]
    parts = re.split(r"(\d+)", suffix)
    return named.index(base), tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)


def _parted(name: str) -> tuple[str, str]:
    """Return the named row that a row is a variant of, and the rest of its name."""
    base = name
    while base not in ROWS and base not in OTHER_ROWS and f"{base}-single" not in ROWS:
        found = ending(base)
        assert found is not None, f"{name} is a row"
        base = found[0]
    suffix = name[len(base) :]
    return base if base in ROWS or base in OTHER_ROWS else f"{base}-single", suffix


def rows_before(name: str) -> Iterator[str]:
    """Return the rows that may have the same training as ``name`` and whose folder then holds it.

    For a variant: all named rows, then the same variant of earlier rows.
    """
    base, suffix = _parted(name)
    named = [*ROWS, *OTHER_ROWS]
    earlier = named[: named.index(base)]
    if not suffix:
        yield from earlier
        return
    yield from named
    yield from (each.removesuffix("-single") + suffix for each in earlier)
