"""Summarise the contents of a capture in words, for `sage-capture`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sage_ns.capture.frames import Frame
from sage_ns.capture.layout import Capture
from sage_ns.errors import SageError
from sage_ns.rig import FlameParams, HeadModel, find_head_model, load_head_model


@dataclass(frozen=True)
class SplitSummary:
    """One split of a capture."""

    name: str
    num_pictures: int
    timesteps: str
    """Ranges of ids: 0-3, 5."""
    cameras: str
    """Ranges of camera indices."""


@dataclass(frozen=True)
class CaptureSummary:
    """Splits, picture sizes, masks and head model of a capture."""

    splits: tuple[SplitSummary, ...]
    pictures: str
    """Sizes in pixels."""
    masks: str
    head_model: str | None
    """Name and size of the rig; None if it was not found."""
    problem: str = ""
    """Why there is no head model, and what to do."""


def summarise(capture: Capture, head_model_file: Path | None = None) -> CaptureSummary:
    """Summarise a capture.

    Args:
        capture: the capture.
        head_model_file: head model; None: the one found near the capture.

    Raises:
        FlameParamsError: the parameters of the first training picture cannot be read, or do not fit the head model.
    """
    splits = (
        ("train", capture.train),
        ("train, all moments", capture.train_multiframe),
        ("val (held-out camera)", capture.val),
        ("test (held-out moments)", capture.test),
    )
    sizes = sorted({(f.width, f.height) for f in (*capture.train_multiframe, *capture.val, *capture.test)})
    masked = all(frame.mask_path is not None for frame in capture.train_multiframe)
    params = FlameParams.load(capture.train_multiframe[0].flame_param_path)
    head_model, problem = None, ""
    try:
        model = load_head_model(find_head_model(head_model_file, capture.folder))
    except SageError as error:
        problem = str(error)
    else:
        params.check_fits(model)
        head_model = _described(model)
    return CaptureSummary(
        splits=tuple(_split(name, frames) for name, frames in splits),
        pictures=", ".join(f"{width} x {height}" for width, height in sizes),
        masks="yes" if masked else "not for every picture",
        head_model=head_model,
        problem=problem,
    )


def ranges(numbers: Iterable[int]) -> str:
    """Return numbers as ranges, "0-3, 5", or "-" if there are none."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in parts) or "-"


def _split(name: str, frames: Sequence[Frame]) -> SplitSummary:
    timesteps, cameras = ranges(f.timestep for f in frames), ranges(f.camera_index for f in frames)
    return SplitSummary(name, len(frames), timesteps, cameras)


def _described(model: HeadModel) -> str:
    named = sum(not name.startswith("unused") for name in model.expression_names)
    expressions = f"{named} named expressions" if named else f"{model.num_expression} expression directions"
    return f"{model.name}: {model.num_vertices} vertices, {expressions}"
