"""nerfstudio dataparser ``flame-capture``: FLAME-tracked captures in VHAP's and GaussianAvatars' layout.

nerfstudio imports this module while it builds its own table of dataparsers: the module must not import a data manager.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.plugins.registry_dataparser import DataParserSpecification
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from sage_ns.capture import enlarged
from sage_ns.capture.checked import CaptureOptions, CheckedCapture, load_capture
from sage_ns.capture.flame_table import Tracking
from sage_ns.capture.frames import Frame
from sage_ns.capture.images import background_color, downscaled_size
from sage_ns.capture.provenance import provenance_of
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.splits import FramesMode, SplitName
from sage_ns.capture.still_camera import LightAxesOption
from sage_ns.image.super_resolution import NONE, open_upscaler
from sage_ns.system.cache import cache_dir
from sage_ns.system.console import escape

SCENE_BOX_MARGIN = 0.1
"""Margin of the scene box around the canonical head for hair and shoulders, in metres."""


@dataclass
class FlameCaptureDataParserConfig(DataParserConfig):
    """Read a capture in VHAP's layout."""

    _target: type = field(default_factory=lambda: FlameCapture)
    data: Path = Path()
    """capture folder: a single sequence or a union of sequences"""
    head_model: Path | None = None
    """head model file that the capture was tracked with (.pkl or .npz); default: the one found near the capture"""
    frames: FramesMode = "single"
    """single = train on the canonical timestep; multi = on all training timesteps; rotation = on those that show a
    still face from many sides as the head turns; all = on all, visiting every direction and expression equally often;
    photo = on the canonical timestep's only picture"""
    num_frames: int | None = None
    """with --frames rotation: largest number of frames; default: 60"""
    light_axes: LightAxesOption = "auto"
    """what lamps stand still against: world = the world of the files; camera = the camera, although the files move it
    (trackers that write the pose of the head into the camera); auto = as the files state, else world"""
    canonical_timestep: int | None = None
    """timestep id to reconstruct the avatar at; default: among the timesteps with most cameras, a calm face with open
    eyes and slightly parted lips that a camera sees from the front"""
    timesteps: tuple[int, ...] | None = None
    """with --frames multi: timestep ids to train on, the canonical one among them; default: all"""
    num_timesteps: int | None = None
    """with --frames multi: number of timesteps to train on: the canonical one, then each time the one whose expression
    differs most from those chosen before; default: all"""
    cameras: tuple[int, ...] | None = None
    """camera indices to train on; default: all. Validation and test keep their cameras"""
    num_cameras: int | None = None
    """number of cameras to train on: the most frontal one at the canonical timestep, then each time the one farthest
    in direction from those chosen before; default: all"""
    downscale_factor: int = 1
    """divide width and height of the pictures by this whole number (blocks of pixels are averaged)"""
    super_resolution: str = NONE
    """enlarge the training pictures, after downscaling: none, bicubic (twice), bicubic-3, bicubic-4, or a file of a
    network's weights, which needs the package spandrel. Results are cached; val and test pictures keep their size"""
    background: str = "white"
    """colour that the stored images are blended with: a name or #rrggbb"""
    cy_origin: Literal["auto", "top", "bottom"] = "auto"
    """image edge that the transforms measure cy from; auto = as the file states, else bottom (VHAP since Nov 2024)"""
    use_masks: bool = True
    """read the soft foreground masks if the capture has them"""


class FlameCapture(DataParser):
    """Convert a capture to nerfstudio cameras. The world stays FLAME's, in metres; nothing is centred or scaled.

    Camera metadata (one row per image): "timestep" [N, 1] int64 id, "camera_index" [N, 1] int64,
    "motion" [N, 18 + E] float32 (``FlameParams.motion_vector`` of that moment), with --frames all also "group" [N, 1]
    int64 (see `sage_ns.capture.head_turns.strata`); ``times`` [N, 1] in 0..1 address the capture's motion:
    row / (num_timesteps - 1).

    Dataset metadata: a ``CaptureRecord``, which ``CaptureRecord.of`` reads.
    """

    config: FlameCaptureDataParserConfig
    includes_time: bool = True

    @cached_property
    def _scale(self) -> int:
        """How many times larger the training pictures get.

        Raises:
            SageError: see `open_upscaler`.
        """
        return open_upscaler(self.config.super_resolution).scale

    @cached_property
    def _loaded(self) -> CheckedCapture:
        """Read and check the capture, once for all splits.

        Raises:
            CaptureError, FlameParamsError, HeadModelError: see `load_capture`.
        """
        options = CaptureOptions(**{each.name: getattr(self.config, each.name) for each in fields(CaptureOptions)})
        loaded = load_capture(options)
        _report(loaded, self.config)
        return loaded

    def _generate_dataparser_outputs(self, split: SplitName = "train", **kwargs: Any) -> DataparserOutputs:
        loaded, config = self._loaded, self.config
        frames = loaded.splits.frames(split)
        masks = [frame.mask_path if config.use_masks else None for frame in frames]
        groups = loaded.strata if split == "train" else None
        low, high = loaded.canonical_vertices.amin(0), loaded.canonical_vertices.amax(0)
        return DataparserOutputs(
            image_filenames=[frame.image_path for frame in frames],
            cameras=make_cameras(
                frames, loaded.tracking, config.downscale_factor, self._scale if split == "train" else 1, groups
            ),
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
                super_resolution=config.super_resolution if split == "train" else NONE,
                split_source=loaded.splits.sources[split],
                mask_filenames=tuple(masks),
                hidden_filenames=_hidden(frames),
                provenance=provenance_of(loaded.capture.folder),
            ).metadata(),
        )


def _hidden(frames: Sequence[Frame]) -> tuple[Path | None, ...]:
    hidden = tuple(frame.hidden_path for frame in frames)
    return hidden if any(path is not None for path in hidden) else ()


def make_cameras(
    frames: Sequence[Frame],
    tracking: Tracking,
    downscale_factor: int = 1,
    scale: int = 1,
    groups: Int[Tensor, "num_frames"] | None = None,
) -> Cameras:
    """Return nerfstudio cameras of ``frames``, with their motion in times and metadata (see ``FlameCapture``).

    The pictures are ``downscale_factor`` times smaller than the files, then ``scale`` times larger.
    """
    intrinsics = torch.tensor([(frame.fx, frame.fy, frame.cx, frame.cy) for frame in frames], dtype=torch.float64)
    fx, fy, cx, cy = (intrinsics * scale / downscale_factor).float().unbind(-1)
    sizes = [downscaled_size(frame.width, frame.height, downscale_factor) for frame in frames]
    width, height = (scale * torch.tensor(sizes, dtype=torch.int64)).unbind(-1)
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
            **({} if groups is None else {"group": groups[:, None]}),
        },
    )


def _camera_to_worlds(frames: Sequence[Frame]) -> Float[Tensor, "n 3 4"]:
    return torch.from_numpy(np.stack([frame.camera_to_world[:3] for frame in frames])).float()


def _timesteps(frames: Sequence[Frame]) -> Tensor:
    return torch.tensor([frame.timestep for frame in frames], dtype=torch.int64)


def _report(loaded: CheckedCapture, config: FlameCaptureDataParserConfig) -> None:
    """Print what the training uses, and warnings about the capture."""
    splits, tracking = loaded.splits, loaded.tracking
    CONSOLE.print(
        f"Capture {escape(loaded.capture.folder.name)}: {len(splits.train)} training images at "
        f"{len(_timesteps(splits.train).unique())} timestep(s), canonical timestep {splits.canonical_timestep}, "
        f"{len(tracking.timesteps)} tracked timesteps, head model {escape(loaded.head_model.name)}."
    )
    if loaded.canonical_reason:
        CONSOLE.print(f"Canonical timestep {splits.canonical_timestep}: {escape(loaded.canonical_reason)}.")
    if loaded.turns is not None:
        CONSOLE.print(loaded.turns.summary())
        notes = (*loaded.notes, *filter(None, [loaded.turns.warning()]))
    else:
        notes = loaded.notes
    for note in notes:
        CONSOLE.print(f"[yellow]{escape(note)}[/yellow]")
    if (config.timesteps, config.num_timesteps, config.cameras, config.num_cameras) != (None,) * 4:
        CONSOLE.print(
            f"Selected for training: timesteps {_listed(frame.timestep for frame in splits.train)}; "
            f"cameras {_listed(frame.camera_index for frame in splits.train)}."
        )
    if config.super_resolution != NONE:
        CONSOLE.print(
            f"The training pictures are enlarged by {escape(config.super_resolution)}; "
            f"results are kept in {escape(str(cache_dir() / enlarged.FOLDER))}."
        )
    for note in splits.seen_notes():
        CONSOLE.print(f"[yellow]{escape(note)}[/yellow]")
    for split, source in splits.sources.items():
        if source != split:
            kind = f"unseen {split}" if splits.seen.get(split) else split
            CONSOLE.print(f"[yellow]The capture has no {kind} images; {source} images are used instead.[/yellow]")
    if tracking.num_other_identity:
        CONSOLE.print(
            f"[yellow]{tracking.num_other_identity} timesteps were tracked with another head shape or offset; "
            f"those of timestep {splits.canonical_timestep} are used for all.[/yellow]"
        )
    first = splits.train[0]
    is_known = config.cy_origin != "auto" or first.states_cy_origin
    if not is_known and abs(first.cy - first.height / 2) > 0.5:
        CONSOLE.print(
            f"[yellow]The principal point is {first.cy - first.height / 2:+.1f} px below the image centre. If the head "
            "and the images do not line up vertically, try --cy-origin top (exports by VHAP before Nov 2024).[/yellow]"
        )


def _listed(ids: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(set(ids))))


flame_capture = DataParserSpecification(
    config=FlameCaptureDataParserConfig(),
    description="FLAME-tracked head captures: VHAP and GaussianAvatars exports",
)
