"""Read a capture and check everything about it: what training does first, and all that `sage-capture inspect` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.flame_table import Tracking, expression_magnitude, load_tracking, tabulate
from sage_ns.capture.frames import CyOrigin, Frame
from sage_ns.capture.images import background_color, downscaled_size
from sage_ns.capture.layout import Capture, read_capture
from sage_ns.capture.mattes import MOST_CHECKED, check_mattes
from sage_ns.capture.selection import Selection, select_training
from sage_ns.capture.splits import (
    FramesMode,
    Splits,
    canonical_candidates,
    check_canonical_timestep,
    evenly_spaced,
    select_splits,
    training_frames,
)
from sage_ns.capture.validation import check_decodable, check_head_in_front, check_images, check_parameter_files
from sage_ns.rig import FlameParams, HeadModel, concatenate, find_head_model, load_head_model, pose_vertices

POSED_AT_ONCE = 32
"""Timesteps whose head is posed in one batch; bounds memory."""


@dataclass(frozen=True)
class CaptureOptions:
    """How to read a capture; the dataparser's options of the same names."""

    data: Path
    """Capture folder: a single sequence or a union of sequences."""
    head_model: Path | None = None
    """Head model file; None: the one found near the capture."""
    frames: FramesMode = "single"
    """single = train on the canonical timestep; multi = train on all training timesteps."""
    canonical_timestep: int | None = None
    """None: the most neutral face among the timesteps with most cameras."""
    downscale_factor: int = 1
    background: str = "white"
    """Colour that the stored pictures are blended with."""
    cy_origin: CyOrigin = "auto"
    use_masks: bool = True
    timesteps: tuple[int, ...] | None = None
    num_timesteps: int | None = None
    cameras: tuple[int, ...] | None = None
    num_cameras: int | None = None

    @property
    def selection(self) -> Selection:
        """Training moments and cameras to use."""
        return Selection(self.timesteps, self.num_timesteps, self.cameras, self.num_cameras)


@dataclass(frozen=True, eq=False)
class CheckedCapture:
    """A capture that passed all checks, with everything that its splits share."""

    capture: Capture
    splits: Splits
    tracking: Tracking
    head_model: HeadModel
    canonical_vertices: Float[Tensor, "num_vertices 3"]


def load_capture(options: CaptureOptions) -> CheckedCapture:
    """Read a capture and check all that training will use: files, headers, cameras, tracking, a sample of the masks.

    Raises:
        CaptureError, FlameParamsError, HeadModelError: the capture cannot be used; names file, field, the value found
            and what to do.
    """
    return _load(options, whole=False)


def inspect_capture(options: CaptureOptions) -> CheckedCapture:
    """Make the checks of `load_capture` for all frames of the capture, and decode every picture and mask.

    Raises:
        CaptureError, FlameParamsError, HeadModelError: as `load_capture`, and as `load_image`.
    """
    return _load(options, whole=True)


def _load(options: CaptureOptions, whole: bool) -> CheckedCapture:
    background = background_color(options.background)
    options.selection.check(options.frames)
    capture = read_capture(options.data, options.cy_origin)
    check_parameter_files(capture.flame_param_paths.values())
    head_model = load_head_model(find_head_model(options.head_model, capture.folder))
    moments = load_tracking(capture.flame_param_paths, head_model)
    canonical = _canonical_timestep(options, capture, moments, head_model)
    splits = select_splits(capture, options.frames, canonical)
    if options.selection != Selection():
        splits = select_training(splits, options.selection, moments, head_model, str(capture.folder))
    tracking = tabulate(moments, canonical)
    listed = (*capture.train, *capture.train_multiframe, *capture.val, *capture.test) if whole else ()
    used = tuple({frame.image_path: frame for frame in (*splits.train, *splits.val, *splits.test, *listed)}.values())
    check_images(used, options.use_masks)
    for frame in used:
        downscaled_size(frame.width, frame.height, options.downscale_factor)
    vertices = pose_vertices(head_model, moments[canonical])[0]
    check_head_in_front(used, _head_centers(tracking, vertices, canonical))
    if options.use_masks:
        sample = used if whole else evenly_spaced(used, MOST_CHECKED)
        check_mattes(sample, _heads(head_model, tracking, sample), background)
    elif whole:
        check_decodable(used)
    return CheckedCapture(capture, splits, tracking, head_model, vertices)


def _canonical_timestep(
    options: CaptureOptions, capture: Capture, moments: dict[int, FlameParams], head_model: HeadModel
) -> int:
    chosen = options.canonical_timestep
    if chosen is not None:
        check_canonical_timestep(capture, chosen)
        return chosen
    candidates = canonical_candidates(training_frames(capture, options.frames))
    params = concatenate([moments[t].with_identity(moments[candidates[0]]) for t in candidates])
    return candidates[int(expression_magnitude(params, head_model).argmin())]


def _head_centers(
    tracking: Tracking, canonical_vertices: Float[Tensor, "num_vertices 3"], canonical_timestep: int
) -> dict[int, Float[np.ndarray, "3"]]:
    """Return the head centre per timestep id: the canonical centre plus the tracked translation.

    Rotations move the centre little and are ignored.
    """
    translation = tracking.params.translation
    center = canonical_vertices.mean(0) - translation[tracking.row_of(canonical_timestep)]
    return dict(zip(tracking.timesteps.tolist(), (translation + center).double().numpy(), strict=True))


def _heads(
    head_model: HeadModel, tracking: Tracking, frames: Sequence[Frame]
) -> dict[int, Float[np.ndarray, "num_points 3"]]:
    """Return points on the tracked head (every third vertex, metres) by timestep id of ``frames``."""
    timesteps = sorted({frame.timestep for frame in frames})
    rows = tracking.rows_of(torch.tensor(timesteps, dtype=torch.int64))
    posed = [pose_vertices(head_model, tracking.params[part])[:, ::3] for part in rows.split(POSED_AT_ONCE)]
    return dict(zip(timesteps, torch.cat(posed).numpy(), strict=True))
