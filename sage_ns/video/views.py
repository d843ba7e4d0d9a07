"""Views of a video: from the front, around the head, or through given cameras."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.layout import read_capture
from sage_ns.errors import SageError
from sage_ns.raster import PinholeCamera
from sage_ns.video.camera_paths import (
    ROUND_SECONDS,
    CameraPath,
    along,
    capture_camera,
    orbiting,
    read_camera_path,
    resized,
    swaying,
)

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar
    from sage_ns.video.timeline import Timeline

AroundHead = Literal["frontal", "orbit", "sway"]
View: TypeAlias = "AroundHead | PinholeCamera | CameraPath"
"""A camera in front of the avatar's head, orbiting or swaying around it, a fixed camera, or a camera path."""

DEFAULT_SIZE = 512
"""Width and height in pixels, if neither the user nor a camera specifies them."""

_CAPTURE = "capture:"


def camera_index(name: str) -> int | None:
    """Return the index of a camera that is named ``capture:INDEX``; None for every other name."""
    index = name.removeprefix(_CAPTURE)
    return int(index) if name.startswith(_CAPTURE) and index.isdecimal() else None


def find_view(name: str, capture: Path | None = None) -> View:
    """Return the view that a user names: frontal, orbit, sway, capture:INDEX, or the file of a camera path (.json).

    Args:
        name: name from the user.
        capture: capture folder for capture:INDEX.

    Raises:
        SageError: there is no camera of that name, its capture is not given, or the file is broken.
    """
    if name in get_args(AroundHead):
        return name  # type: ignore[return-value]
    if name.endswith(".json"):
        return read_camera_path(Path(name))
    index = camera_index(name)
    if index is None:
        raise SageError(f"--camera {name}: choose frontal, orbit, sway, capture:INDEX or a camera path (.json)")
    if capture is None:
        raise SageError(f"--camera {name}: give the capture that this camera belongs to: --capture DIR")
    return capture_camera(read_capture(capture), index)


def picture_size(view: View, width: int | None, height: int | None, even: bool) -> tuple[int, int]:
    """Return width and height in pixels: as given, or else in proportion to a given side, or else the view's own.

    ``even`` rounds sides that were not given down to even numbers.
    """
    if isinstance(view, CameraPath):
        view = view.cameras[0]
    own = (view.width, view.height) if isinstance(view, PinholeCamera) else (DEFAULT_SIZE, DEFAULT_SIZE)
    scale = width / own[0] if width is not None else height / own[1] if height is not None else 1.0
    step = 2 if even else 1
    free = [max(step, round(scale * side) // step * step) for side in own]
    return width or free[0], height or free[1]


def cameras_for(view: View, avatar: Avatar, size: tuple[int, int], times: Timeline) -> list[PinholeCamera]:
    """Return one camera per frame, on the avatar's device; ``size`` is width and height in pixels."""
    if isinstance(view, CameraPath):
        on_way = view.cameras if view.times is not None else along(view.cameras, times.num_frames)
        cameras = [resized(camera, *size) for camera in on_way]
    elif isinstance(view, PinholeCamera):
        cameras = [resized(view, *size)] * times.num_frames
    else:
        front, (middle, _) = avatar.front_camera(*size), head_size(avatar)
        rounds = max(1, round(times.seconds / ROUND_SECONDS))
        if view == "orbit":
            cameras = orbiting(front, middle, times.num_frames, rounds)
        elif view == "sway":
            cameras = swaying(front, middle, times.num_frames, rounds)
        else:
            cameras = [front] * times.num_frames
    return [camera.to(avatar.device) for camera in cameras]


def head_size(avatar: Avatar) -> tuple[Float[Tensor, "3"], float]:
    """Return the centre of the head at the canonical moment, and half the longest side of its box [metres]."""
    low, high = avatar.rig.vertices(avatar.motion.canonical()).aminmax(dim=0)
    return (low + high) / 2, float((high - low).max()) / 2
