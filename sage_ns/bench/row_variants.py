"""Variants of rows: the same method with fewer moments, fewer cameras or another canonical moment, by their name.

``sage-4-moments-3-cameras`` is the row ``sage`` with four moments and three cameras. A name says everything about its
row: the process that runs it finds the row again without a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sage_ns.bench.rows import Row

_DATAPARSER = "pipeline.datamanager.dataparser."


@dataclass(frozen=True)
class Variant:
    """One kind of variant."""

    pattern: re.Pattern[str]
    """End of the name; its only group, if any, is what :attr:`settings` gets."""
    example: str
    """End of the name, for messages: "-N-moments"."""
    title: str
    """What is appended to the row's title, with {} for the group."""
    settings: Callable[[str], Mapping[str, Any]]
    """Settings of the dataparser by name, from the text of the group."""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("-")))


VARIANTS: tuple[Variant, ...] = (
    Variant(
        re.compile(r"-([1-9]\d*)-moments$"),
        "-N-moments",
        "{} moments",
        lambda text: {"frames": "multi", "num_timesteps": int(text)},
    ),
    Variant(re.compile(r"-(all)-moments$"), "-all-moments", "{} moments", lambda _: {"frames": "multi"}),
    Variant(re.compile(r"-([1-9]\d*)-cameras$"), "-N-cameras", "{} cameras", lambda text: {"num_cameras": int(text)}),
    Variant(
        re.compile(r"-cameras-(\d+(?:-\d+)*)$"),
        "-cameras-I-J-...",
        "cameras {}",
        lambda text: {"cameras": _numbers(text)},
    ),
    Variant(
        re.compile(r"-canonical-(\d+)$"),
        "-canonical-T",
        "canonical timestep {}",
        lambda text: {"canonical_timestep": int(text)},
    ),
)


def ending(name: str) -> tuple[str, Variant, str] | None:
    """Split the last variant from the name of a row: the rest of the name, the variant, and the text of its group."""
    for variant in VARIANTS:
        found = variant.pattern.search(name)
        if found:
            return name[: found.start()], variant, found.group(1)
    return None


def applied(row: Row, variant: Variant, text: str) -> Row:
    """Return ``row`` as the variant has it."""
    settings = dict(variant.settings(text))
    frames = settings.pop("frames", row.frames)
    title = row.title.removesuffix(", one moment") if frames != row.frames else row.title
    return replace(
        row,
        title=f"{title}, {variant.title.format(text.replace('-', ', '))}",
        frames=frames,
        trained_with={**row.trained_with, **{_DATAPARSER + name: value for name, value in settings.items()}},
    )
