"""Read a capture and check everything about it: what training does first, and all that `sage-capture inspect` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.capture.canonical_moment import CanonicalMoment, choose_canonical
from sage_ns.capture.decode import read_header
from sage_ns.capture.flame_table import Tracking, load_tracking, tabulate
from sage_ns.capture.frames import CyOrigin, Frame
from sage_ns.capture.head_turns import HeadTurns, check_num_frames, head_turns, strata
from sage_ns.capture.images import background_color, downscaled_size
from sage_ns.capture.layout import Capture, read_capture
from sage_ns.capture.mattes import MOST_CHECKED, check_mattes
from sage_ns.capture.photo import check_photo
from sage_ns.capture.selection import Selection, select_training
from sage_ns.capture.splits import (
    ONE_MOMENT,
    FramesMode,
    Splits,
    canonical_candidates,
    check_canonical_timestep,
    evenly_spaced,
    select_splits,
    training_frames,
)
from sage_ns.capture.still_camera import LightAxesOption, question, with_still_camera
from sage_ns.capture.validation import check_decodable, check_head_in_front, check_images, check_parameter_files
from sage_ns.rig import FlameParams, HeadModel, find_head_model, load_head_model, pose_vertices

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
    """Training moments, see `FramesMode`."""
    canonical_timestep: int | None = None
    """None: chosen among the timesteps with most cameras, see `sage_ns.capture.canonical_moment`."""
    downscale_factor: int = 1
    background: str = "white"
    """Colour that the stored pictures are blended with."""
    cy_origin: CyOrigin = "auto"
    use_masks: bool = True
    timesteps: tuple[int, ...] | None = None
    num_timesteps: int | None = None
    cameras: tuple[int, ...] | None = None
    num_cameras: int | None = None
    num_frames: int | None = None
    """Largest number of frames of a turning head; None = 60."""
    light_axes: LightAxesOption = "auto"
    """What the lamps stand still against: the world of the files, or the camera; auto = as the files state."""

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
    canonical_reason: str = ""
    """Why this canonical moment was chosen; empty if the user chose it."""
    turns: HeadTurns | None = None
    """What the frames of a turning head show; None for other training moments."""
    strata: Int[Tensor, "num_train"] | None = None
    """Group of each training frame, all of which training visits equally often; None = every frame is."""
    notes: tuple[str, ...] = ()
    """What the user should know."""


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
    check_num_frames(options.num_frames, options.frames)
    capture = read_capture(options.data, options.cy_origin)
    check_parameter_files(capture.flame_param_paths.values())
    head_model = load_head_model(find_head_model(options.head_model, capture.folder))
    moments = load_tracking(capture.flame_param_paths, head_model)
    capture, moments, notes = _lit_by_a_still_room(options, capture, moments, head_model)
    chosen = _canonical_moment(options, capture, moments, head_model)
    canonical = chosen.timestep
    splits = select_splits(capture, options.frames, canonical)
    if options.selection != Selection():
        splits = select_training(splits, options.selection, moments, head_model, str(capture.folder))
    turns = groups = None
    if options.frames == "rotation":
        name = str(capture.folder)
        turns = head_turns(splits.train, canonical, moments, head_model, name, options.num_frames)
        splits = replace(splits, train=turns.frames)
    elif options.frames == "all":
        groups = strata(splits.train, canonical, moments, head_model)
    tracking = tabulate(moments, canonical)
    listed = (*capture.train, *capture.train_multiframe, *capture.val, *capture.test) if whole else ()
    used = tuple({frame.image_path: frame for frame in (*splits.train, *splits.val, *splits.test, *listed)}.values())
    check_images(used, options.use_masks)
    for frame in used:
        downscaled_size(frame.width, frame.height, options.downscale_factor)
    vertices = pose_vertices(head_model, moments[canonical])[0]
    check_head_in_front(used, _head_centers(tracking, vertices, canonical))
    if options.frames == "photo":
        check_photo(splits.train, moments, head_model, vertices, options.use_masks)
    if options.use_masks:
        sample = used if whole else evenly_spaced(used, MOST_CHECKED)
        check_mattes(sample, _heads(head_model, tracking, sample), background)
    elif whole:
        check_decodable(used)
    notes = (*notes, *filter(None, [chosen.warning, _without_masks(splits.train, options)]))
    return CheckedCapture(capture, splits, tracking, head_model, vertices, chosen.reason, turns, groups, notes)


def _without_masks(train: Sequence[Frame], options: CaptureOptions) -> str | None:
    """Return a note on frames of a turning head without masks; None where it does not matter."""
    if options.frames not in ("rotation", "all"):
        return None
    bare = [frame for frame in train if frame.mask_path is None or not options.use_masks]
    # Without a mask of its own, the alpha of a picture is its mask.
    missing = sum("A" not in read_header(frame.image_path).bands for frame in bare)
    if missing == 0:
        return None
    return (
        f"{missing} of {len(train)} training frames have no mask: they do not show where the head ends, and are left "
        "out where frames stand for each other. Make masks (VHAP: --matting_method robust_video_matting)."
    )


def _lit_by_a_still_room(
    options: CaptureOptions, capture: Capture, moments: dict[int, FlameParams], head_model: HeadModel
) -> tuple[Capture, dict[int, FlameParams], tuple[str, ...]]:
    """Return capture and parameters with lamps that stand still in the world, and notes for the user."""
    by_file = "camera" if capture.camera_is_still else "world"
    if (by_file if options.light_axes == "auto" else options.light_axes) == "camera":
        return *with_still_camera(capture, moments, head_model), ()
    note = question(capture, moments) if options.light_axes == "auto" and options.frames not in ONE_MOMENT else None
    return capture, moments, () if note is None else (note,)


def _canonical_moment(
    options: CaptureOptions, capture: Capture, moments: dict[int, FlameParams], head_model: HeadModel
) -> CanonicalMoment:
    chosen = options.canonical_timestep
    if chosen is not None:
        check_canonical_timestep(capture, chosen)
        return CanonicalMoment(chosen, "")
    frames = training_frames(capture, options.frames)
    return choose_canonical(frames, canonical_candidates(frames), moments, head_model)


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
