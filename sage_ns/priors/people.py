"""People to learn from: the pictures of the canonical moment of a capture, without nerfstudio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sage_ns.capture.checked import CaptureOptions, CheckedCapture, load_capture
from sage_ns.capture.decode import read_header
from sage_ns.capture.frames import Frame
from sage_ns.capture.images import background_color, downscaled_size, load_image, load_matte
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


def training_moments(options: CaptureOptions, most: int) -> tuple[CaptureRecord, dict[int, list[Frame]]]:
    """Return a capture's record and the frames of its training moments by timestep, the canonical moment first.

    The canonical moment has its held-out cameras, as in `canonical_views`. Test moments are never among them.

    Args:
        options: the capture.
        most: largest number of moments besides the canonical one; evenly spaced ones are taken.

    Raises:
        CaptureError, FlameParamsError, HeadModelError: see `load_capture`.
    """
    loaded = load_capture(options)
    canonical = loaded.splits.canonical_timestep
    held_out = {frame.timestep for frame in loaded.capture.test}
    others: dict[int, list[Frame]] = {}
    for frame in loaded.capture.train_multiframe:
        if frame.timestep != canonical and frame.timestep not in held_out:
            others.setdefault(frame.timestep, []).append(frame)
    names = sorted(others)
    chosen = names if len(names) <= most else [names[index * len(names) // most] for index in range(most)]
    moments = {canonical: _canonical_frames(loaded), **{name: others[name] for name in chosen}}
    return record_of(loaded, options, background_color(options.background)), moments


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


def frame_camera(frame: Frame, factor: int) -> PinholeCamera:
    """Return the camera of a frame whose picture is scaled down by a whole factor."""
    width, height = downscaled_size(frame.width, frame.height, factor)
    fx, fy, cx, cy = (value / factor for value in (frame.fx, frame.fy, frame.cx, frame.cy))
    return PinholeCamera.from_opengl(torch.from_numpy(frame.camera_to_world).float(), fx, fy, cx, cy, width, height)


def frame_pixels(
    frame: Frame, factor: int, background: Float[Tensor, "3"]
) -> tuple[UInt8[Tensor, "h w 3"], UInt8[Tensor, "h w 1"]]:
    """Return picture and mask of a frame; errors as for `load_image`, and if there is no mask."""
    picture, mask = load_image(frame.image_path, frame.mask_path, factor, background)
    if mask is None:
        raise _without_mask(frame)
    return picture, mask


def read_shot(frame: Frame, factor: int, background: Float[Tensor, "3"]) -> Shot:
    """Return a frame's picture with its mask and camera, each pixel the mean of ``factor`` x ``factor`` stored ones.

    Raises:
        CaptureError: the picture cannot be read, or has no mask.
    """
    picture, mask = frame_pixels(frame, factor, background)
    counts = None
    if frame.hidden_path is not None:
        hidden = load_matte(frame.hidden_path, (frame.width, frame.height), factor, f"{frame.source}: 'hidden_path'")
        counts = 1 - hidden.float() / 255
    camera = frame_camera(frame, factor)
    return Shot(camera, picture.float() / 255, mask.float() / 255, steady=counts, confidence=counts)


def check_people(captures: Sequence[CaptureOptions], all_moments: bool = False) -> list[str]:
    """Check that a prior can be learned from some captures, before long work; returns a name for each.

    Args:
        captures: one per person.
        all_moments: whether all training moments are learned from, or the canonical one alone.

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
            loaded = load_capture(options)
            _check_masks((*_canonical_frames(loaded), *(loaded.capture.train_multiframe if all_moments else ())))
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


def _check_masks(frames: Sequence[Frame]) -> None:
    for frame in frames:
        if frame.mask_path is None and "A" not in read_header(frame.image_path).bands:
            raise _without_mask(frame)


def _without_mask(frame: Frame) -> CaptureError:
    return CaptureError(
        f"{frame.image_path}: found no mask; a prior is learned from pictures with masks. Make masks (VHAP: "
        "--matting_method robust_video_matting)."
    )
