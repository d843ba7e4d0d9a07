"""Cameras for videos: moving around a head, from a capture, and from nerfstudio's camera paths."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.camera_checks import camera_to_world, check_intrinsics, check_pinhole, check_size
from sage_ns.capture.frames import Frame, read_json
from sage_ns.capture.layout import Capture
from sage_ns.errors import CaptureError
from sage_ns.geometry.rotations import matrix_to_quaternion, quaternion_slerp, quaternion_to_matrix
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import orbit
from sage_ns.system.json_files import finite_number, shown

SWAY = math.radians(40)
"""Largest angle of a swaying camera to either side."""
ROUND_SECONDS = 8.0
"""Approximate time in which a camera orbits once, or sways once to both sides and back."""


@dataclass(frozen=True, eq=False)
class CameraPath:
    """Content of a camera-path file of nerfstudio's viewer."""

    cameras: tuple[PinholeCamera, ...]
    times: tuple[float, ...] | None
    """Moment of the motion for each camera, 0..1 from the first moment to the last; None if the file sets no times: the
    motion then plays at its own speed."""
    fps: float | None
    """Frames per second; None if the file does not specify them."""


def resized(camera: PinholeCamera, width: int, height: int) -> PinholeCamera:
    """Return the camera with another picture size that contains the whole view; square pixels stay square.

    If the aspect ratio differs, the new picture shows more at two of its sides.
    """
    scale = min(width / camera.width, height / camera.height)
    intrinsics = camera.intrinsics.clone()
    intrinsics[:2] *= scale
    intrinsics[0, 2] += (width - scale * camera.width) / 2
    intrinsics[1, 2] += (height - scale * camera.height) / 2
    return replace(camera, intrinsics=intrinsics, width=width, height=height)


def orbiting(front: PinholeCamera, target: Float[Tensor, "3"], num_frames: int, rounds: int = 1) -> list[PinholeCamera]:
    """Move ``front`` around ``target`` [metres] at constant speed; the frame after the last one equals the first."""
    return [orbit(front, target, 2 * math.pi * rounds * frame / num_frames) for frame in range(num_frames)]


def swaying(
    front: PinholeCamera, target: Float[Tensor, "3"], num_frames: int, rounds: int = 1, angle: float = SWAY
) -> list[PinholeCamera]:
    """Move ``front`` about ``target`` [metres] to both sides, by at most ``angle`` [radians], and back."""
    phases = [2 * math.pi * rounds * frame / num_frames for frame in range(num_frames)]
    return [orbit(front, target, angle * math.sin(phase)) for phase in phases]


def along(cameras: Sequence[PinholeCamera], num_frames: int) -> list[PinholeCamera]:
    """Interpolate ``cameras`` to ``num_frames`` cameras, from the first to the last.

    Centre and intrinsics are interpolated linearly, the axes along the shorter rotation.
    """
    if num_frames == len(cameras):
        return list(cameras)
    positions = torch.linspace(0, len(cameras) - 1, num_frames, dtype=torch.float64).tolist()
    return [_between(cameras, position) for position in positions]


def _between(cameras: Sequence[PinholeCamera], position: float) -> PinholeCamera:
    before = min(int(position), len(cameras) - 1)
    fraction = position - before
    start = cameras[before]
    if fraction < 1e-9:
        return start
    end = cameras[before + 1]
    share = start.intrinsics.new_tensor(fraction)
    turned_from, turned_to = (matrix_to_quaternion(each.T_camera_world[:3, :3]) for each in (start, end))
    rotation = quaternion_to_matrix(quaternion_slerp(turned_from, turned_to, share))
    T_camera_world = start.T_camera_world.clone()
    T_camera_world[:3, :3] = rotation
    T_camera_world[:3, 3] = -rotation @ torch.lerp(start.center, end.center, share)
    return replace(start, T_camera_world=T_camera_world, intrinsics=torch.lerp(start.intrinsics, end.intrinsics, share))


def capture_camera(capture: Capture, index: int) -> PinholeCamera:
    """Return the camera of a capture with this index, at its first recorded moment.

    Raises:
        CaptureError: the capture has no camera of this index; lists all indices.
    """
    frames = (*capture.train, *capture.train_multiframe, *capture.val, *capture.test)
    chosen = [frame for frame in frames if frame.camera_index == index]
    if not chosen:
        raise no_such_camera(str(capture.folder), index, (frame.camera_index for frame in frames))
    return frame_camera(min(chosen, key=lambda frame: frame.timestep))


def frame_camera(frame: Frame) -> PinholeCamera:
    """Return the camera of a capture's frame."""
    pose = torch.from_numpy(frame.camera_to_world).float()
    return PinholeCamera.from_opengl(pose, frame.fx, frame.fy, frame.cx, frame.cy, frame.width, frame.height)


def no_such_camera(source: str, index: int, known: Iterable[int]) -> CaptureError:
    """Return an error that lists the available cameras."""
    listed = ", ".join(map(str, sorted(set(known))))
    return CaptureError(f"{source}: there is no camera {index}; its cameras are {listed}")


def read_camera_path(path: Path) -> CameraPath:
    """Read a camera path, as the Render tab of nerfstudio's viewer writes it and ``ns-render camera-path`` reads it.

    Each camera is an OpenGL camera-to-world matrix (row by row, metres) and a vertical field of view in degrees; pixels
    are square and the principal point is the middle. The viewer gives every camera a ``render_time``. If the user has
    set no times, all of them are equal: times are used only if they differ.

    Raises:
        CaptureError: the file is broken, or its cameras are not perspective cameras; names the field.
    """
    content = read_json(path)
    kind = content.get("camera_type", "perspective")
    if kind != "perspective":
        raise CaptureError(f"{path}: 'camera_type' is {shown(kind)}; only perspective cameras can be rendered.")
    width, height = (_number(content, name, str(path)) for name in ("render_width", "render_height"))
    size = check_size(width, height, str(path), "'render_width' x 'render_height'")
    entries = content.get("camera_path")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, Mapping) for entry in entries):
        raise CaptureError(f"{path}: expected a list 'camera_path' of cameras. Is this a camera path of the viewer?")
    sources = [f"{path}, camera {position}" for position in range(len(entries))]
    cameras = [_path_camera(entry, *size, source) for entry, source in zip(entries, sources, strict=True)]
    times = None
    if all("render_time" in entry for entry in entries):
        times = tuple(_number(entry, "render_time", source) for entry, source in zip(entries, sources, strict=True))
        if min(times) < 0 or max(times) > 1:
            raise CaptureError(f"{path}: 'render_time' is {min(times):g}..{max(times):g}; expected 0..1.")
        times = times if min(times) < max(times) else None
    fps = _number(content, "fps", str(path)) if "fps" in content else None
    return CameraPath(tuple(cameras), times, fps if fps is not None and fps > 0 else None)


def _path_camera(entry: Mapping[str, Any], width: int, height: int, source: str) -> PinholeCamera:
    try:
        values = np.array(entry.get("camera_to_world"), dtype=np.float64).reshape(4, 4)
    except (TypeError, ValueError, OverflowError) as error:
        raise CaptureError(f"{source}: 'camera_to_world' is not 16 numbers ({error}).") from error
    pose = camera_to_world(values, source, "camera_to_world")
    check_pinhole(entry, source)
    fov = _number(entry, "fov", source)
    if not 0 < fov < 180:
        raise CaptureError(f"{source}: 'fov' is {fov:g}; expected degrees between 0 and 180.")
    focal = height / (2 * math.tan(math.radians(fov) / 2))
    check_intrinsics((focal, focal), (width / 2, height / 2), (width, height), f"{source}, 'fov' {fov:g} as pixels")
    return PinholeCamera.from_opengl(torch.from_numpy(pose).float(), focal, focal, width / 2, height / 2, width, height)


def _number(entry: Mapping[str, Any], name: str, source: str) -> float:
    value = entry.get(name)
    number = finite_number(value)
    if number is None:
        raise CaptureError(f"{source}: '{name}' is {shown(value)}; expected a finite number.")
    return float(number)
