"""nerfstudio dataparser ``flame-capture``: FLAME-tracked captures in VHAP's and GaussianAvatars' layout.

This module is loaded while nerfstudio's own dataparser table is half built: it must import no data manager.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.plugins.registry_dataparser import DataParserSpecification
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from sage_ns.capture.flame_table import Tracking, expression_magnitude, load_tracking, tabulate
from sage_ns.capture.frames import Frame
from sage_ns.capture.images import background_color, downscaled_size
from sage_ns.capture.layout import Capture, read_capture
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.splits import (
    SplitName,
    Splits,
    canonical_candidates,
    check_canonical_timestep,
    select_splits,
    training_frames,
)
from sage_ns.capture.validation import check_head_in_front, check_images, check_parameter_files
from sage_ns.rig import FlameParams, HeadModel, concatenate, find_head_model, load_head_model, pose_vertices
from sage_ns.system.console import escape

SCENE_BOX_MARGIN = 0.1
"""Metres around the canonical head that the scene box leaves for hair and shoulders."""


@dataclass
class FlameCaptureDataParserConfig(DataParserConfig):
    """Reads a capture that was tracked with VHAP (or written in its layout)."""

    _target: type = field(default_factory=lambda: FlameCapture)
    data: Path = Path()
    """Folder of the capture: a single sequence or a union of sequences."""
    head_model: Path | None = None
    """Head model file the capture was tracked with (FLAME .pkl, or .npz); by default looked for near the capture."""
    frames: Literal["single", "multi"] = "single"
    """Train on one timestep, or on all training timesteps."""
    canonical_timestep: int | None = None
    """Timestep to reconstruct at; default: the one with the most neutral face among those with the most cameras."""
    downscale_factor: int = 1
    """Average blocks of this many pixels squared; cameras are scaled along."""
    background: str = "white"
    """Colour that the stored images are blended with: a name or #rrggbb."""
    cy_origin: Literal["auto", "top", "bottom"] = "auto"
    """Image edge that the transforms measure cy from; auto: what the file says, else bottom (VHAP since Nov 2024)."""
    use_masks: bool = True
    """Read the soft foreground masks, where the capture has them."""


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A capture that passed all checks, with all that its splits share."""

    capture: Capture
    splits: Splits
    tracking: Tracking
    head_model: HeadModel
    canonical_vertices: Float[Tensor, "num_vertices 3"]


class FlameCapture(DataParser):
    """Turns a capture into nerfstudio cameras; the world stays FLAME's metric one (nothing is centred or scaled).

    Camera metadata (one row per image): "timestep" [N, 1] int64 id, "camera_index" [N, 1] int64,
    "motion" [N, 18 + E] float32 (``FlameParams.motion_vector`` of that moment); ``times`` [N, 1] in 0..1 address
    the capture's motion: row / (num_timesteps - 1).

    Dataset metadata: a ``CaptureRecord``, which ``CaptureRecord.of`` reads.
    """

    config: FlameCaptureDataParserConfig
    includes_time: bool = True

    @cached_property
    def _loaded(self) -> _Loaded:
        """Reads and checks the capture, once for all splits.

        Raises:
            CaptureError, FlameParamsError, HeadModelError: naming file, field, what was found and what to do.
        """
        config = self.config
        background_color(config.background)
        capture = read_capture(config.data, config.cy_origin)
        check_parameter_files(capture.flame_param_paths.values())
        head_model = load_head_model(find_head_model(config.head_model, capture.folder))
        moments = load_tracking(capture.flame_param_paths, head_model)
        canonical = self._canonical_timestep(capture, moments, head_model)
        splits = select_splits(capture, config.frames, canonical)
        tracking = tabulate(moments, canonical)
        used = (*splits.train, *splits.val, *splits.test)
        check_images(used, config.use_masks)
        for frame in used:
            downscaled_size(frame.width, frame.height, config.downscale_factor)
        vertices = pose_vertices(head_model, moments[canonical])[0]
        check_head_in_front(used, _head_centers(tracking, vertices, canonical))
        loaded = _Loaded(capture, splits, tracking, head_model, vertices)
        _report(loaded, config)
        return loaded

    def _canonical_timestep(self, capture: Capture, moments: dict[int, FlameParams], head_model: HeadModel) -> int:
        asked = self.config.canonical_timestep
        if asked is not None:
            check_canonical_timestep(capture, asked)
            return asked
        candidates = canonical_candidates(training_frames(capture, self.config.frames))
        params = concatenate([moments[t].with_identity(moments[candidates[0]]) for t in candidates])
        return candidates[int(expression_magnitude(params, head_model).argmin())]

    def _generate_dataparser_outputs(self, split: SplitName = "train", **kwargs: Any) -> DataparserOutputs:
        loaded, config = self._loaded, self.config
        frames = loaded.splits.frames(split)
        masks = [frame.mask_path if config.use_masks else None for frame in frames]
        low, high = loaded.canonical_vertices.amin(0), loaded.canonical_vertices.amax(0)
        return DataparserOutputs(
            image_filenames=[frame.image_path for frame in frames],
            cameras=make_cameras(frames, loaded.tracking, config.downscale_factor),
            scene_box=SceneBox(aabb=torch.stack([low - SCENE_BOX_MARGIN, high + SCENE_BOX_MARGIN])),
            metadata=CaptureRecord(
                head_model=loaded.head_model,
                flame_params=loaded.tracking.params,
                timesteps=loaded.tracking.timesteps,
                canonical_row=loaded.tracking.row_of(loaded.splits.canonical_timestep),
                train_timesteps=_timesteps(loaded.splits.train).unique(),
                test_timesteps=_timesteps(loaded.capture.test).unique(),
                train_camera_centers=_camera_to_worlds(loaded.splits.train)[:, :3, 3],
                background=background_color(config.background),
                downscale_factor=config.downscale_factor,
                split_source=loaded.splits.sources[split],
                mask_filenames=tuple(masks),
            ).metadata(),
        )


def make_cameras(frames: Sequence[Frame], tracking: Tracking, downscale_factor: int = 1) -> Cameras:
    """nerfstudio's cameras of ``frames`` with the moment of each in times and metadata (see ``FlameCapture``)."""
    intrinsics = torch.tensor([(frame.fx, frame.fy, frame.cx, frame.cy) for frame in frames], dtype=torch.float64)
    fx, fy, cx, cy = (intrinsics / downscale_factor).float().unbind(-1)
    sizes = [downscaled_size(frame.width, frame.height, downscale_factor) for frame in frames]
    width, height = torch.tensor(sizes, dtype=torch.int64).unbind(-1)
    timesteps = _timesteps(frames)
    return Cameras(
        camera_to_worlds=_camera_to_worlds(frames),
        fx=fx,
        fy=fy,
        cx=cx,
        cy=cy,
        width=width,
        height=height,
        camera_type=CameraType.PERSPECTIVE,
        times=tracking.times_of(timesteps)[:, None],
        metadata={
            "timestep": timesteps[:, None],
            "camera_index": torch.tensor([[frame.camera_index] for frame in frames], dtype=torch.int64),
            "motion": tracking.params.motion_vector()[tracking.rows_of(timesteps)],
        },
    )


def _camera_to_worlds(frames: Sequence[Frame]) -> Float[Tensor, "n 3 4"]:
    return torch.from_numpy(np.stack([frame.camera_to_world[:3] for frame in frames])).float()


def _timesteps(frames: Sequence[Frame]) -> Tensor:
    return torch.tensor([frame.timestep for frame in frames], dtype=torch.int64)


def _head_centers(
    tracking: Tracking, canonical_vertices: Float[Tensor, "num_vertices 3"], canonical_timestep: int
) -> dict[int, Float[np.ndarray, "3"]]:
    """Head centre per timestep id: the canonical one moved by the tracked translation (rotations move it little)."""
    translation = tracking.params.translation
    center = canonical_vertices.mean(0) - translation[tracking.row_of(canonical_timestep)]
    return dict(zip(tracking.timesteps.tolist(), (translation + center).double().numpy(), strict=True))


def _report(loaded: _Loaded, config: FlameCaptureDataParserConfig) -> None:
    """Says once what is trained on, and what a user should know about the capture."""
    splits, tracking = loaded.splits, loaded.tracking
    CONSOLE.print(
        f"Capture {escape(loaded.capture.folder.name)}: {len(splits.train)} training images at "
        f"{len(_timesteps(splits.train).unique())} timestep(s), canonical timestep {splits.canonical_timestep}, "
        f"{len(tracking.timesteps)} tracked timesteps, head model {escape(loaded.head_model.name)}."
    )
    for split, source in splits.sources.items():
        if source != split:
            CONSOLE.print(f"[yellow]The capture has no {split} images; {source} images stand in for them.[/yellow]")
    if tracking.num_other_identity:
        CONSOLE.print(
            f"[yellow]{tracking.num_other_identity} timesteps were tracked with another head shape or offset; "
            f"that of timestep {splits.canonical_timestep} is used for all.[/yellow]"
        )
    first = splits.train[0]
    if config.cy_origin == "auto" and abs(first.cy - first.height / 2) > 0.5:
        CONSOLE.print(
            f"[yellow]The principal point is {first.cy - first.height / 2:+.1f} px below the image centre. If the head "
            "and the images do not line up vertically, try --cy-origin top (exports by VHAP before Nov 2024).[/yellow]"
        )


flame_capture = DataParserSpecification(
    config=FlameCaptureDataParserConfig(),
    description="FLAME-tracked head captures: VHAP and GaussianAvatars exports",
)
