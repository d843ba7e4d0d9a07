"""People to learn from: the pictures of the canonical moment of a capture, without nerfstudio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.checked import CaptureOptions, CheckedCapture, load_capture
from sage_ns.capture.decode import read_header
from sage_ns.capture.frames import Frame
from sage_ns.capture.images import background_color, load_image
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.errors import CaptureError
from sage_ns.raster import PinholeCamera
from sage_ns.system.progress import tracked


def canonical_views(options: CaptureOptions) -> tuple[CaptureRecord, list[Shot]]:
    """Return a capture's record and its pictures of the canonical moment, held-out cameras included; never test frames.

    Raises:
        CaptureError, FlameParamsError, HeadModelError: see `load_capture`; or a picture has no mask.
    """
    loaded = load_capture(options)
    background = background_color(options.background)
    shots = [read_shot(frame, options.downscale_factor, background) for frame in _canonical_frames(loaded)]
    return record_of(loaded, options, background), shots


def record_of(loaded: CheckedCapture, options: CaptureOptions, background: Float[Tensor, "3"]) -> CaptureRecord:
    """Return what training would store of a capture."""
    train = loaded.splits.train
    return CaptureRecord(
        head_model=loaded.head_model,
        flame_params=loaded.tracking.params,
        timesteps=loaded.tracking.timesteps,
        canonical_row=loaded.tracking.row_of(loaded.splits.canonical_timestep),
        train_timesteps=torch.tensor([frame.timestep for frame in train]).unique(),
        test_timesteps=torch.tensor([frame.timestep for frame in loaded.capture.test], dtype=torch.int64).unique(),
        train_camera_centers=torch.stack([torch.from_numpy(frame.camera_to_world[:3, 3]).float() for frame in train]),
        background=background,
        downscale_factor=options.downscale_factor,
    )


def read_shot(frame: Frame, factor: int, background: Float[Tensor, "3"]) -> Shot:
    """Return a frame's picture with its mask and camera, each pixel the mean of ``factor`` x ``factor`` stored ones.

    Raises:
        CaptureError: the picture cannot be read, or has no mask.
    """
    picture, mask = load_image(frame.image_path, frame.mask_path, factor, background)
    if mask is None:
        raise _without_mask(frame)
    height, width = picture.shape[:2]
    fx, fy, cx, cy = (value / factor for value in (frame.fx, frame.fy, frame.cx, frame.cy))
    camera = PinholeCamera.from_opengl(torch.from_numpy(frame.camera_to_world).float(), fx, fy, cx, cy, width, height)
    return Shot(camera, picture.float() / 255, mask.float() / 255)


def check_people(captures: Sequence[CaptureOptions]) -> list[str]:
    """Check that a prior can be learned from some captures, before long work; returns a name for each.

    Raises:
        SageError: there are fewer than two, one is given twice, or one cannot be read.
    """
    folders = [options.data.absolute() for options in captures]
    if len(folders) < 2:
        raise CaptureError(f"A prior is learned from at least 2 people; found {len(folders)} captures.")
    twice = [folder for number, folder in enumerate(folders) if folder in folders[:number]]
    if twice:
        raise CaptureError(f"{twice[0]} is given twice; give every person once.")
    with tracked(captures, "Checking captures") as shown:
        for options in shown:
            for frame in _canonical_frames(load_capture(options)):
                if frame.mask_path is None and "A" not in read_header(frame.image_path).bands:
                    raise _without_mask(frame)
    return [capture_name(folder, folders) for folder in folders]


def capture_name(folder: Path, others: Sequence[Path]) -> str:
    """Return a name for a capture that none of the others has: its folder's, with the folders above where needed."""
    parts = folder.parts
    rest = [other.parts for other in others if other != folder]
    for count in range(1, len(parts)):
        if all(other[-count:] != parts[-count:] for other in rest):
            return "-".join(parts[-count:])
    return "-".join(parts[1:])


def _canonical_frames(loaded: CheckedCapture) -> list[Frame]:
    """Return the frames of the canonical moment, held-out cameras included."""
    canonical = loaded.splits.canonical_timestep
    frames = [frame for frame in (*loaded.splits.train, *loaded.capture.val) if frame.timestep == canonical]
    return list({frame.image_path: frame for frame in frames}.values())


def _without_mask(frame: Frame) -> CaptureError:
    return CaptureError(
        f"{frame.image_path}: found no mask; a prior is learned from pictures with masks. Make masks (VHAP: "
        "--matting_method robust_video_matting)."
    )
