"""The frames of a video of an avatar: from where one looks, which moment each one shows, and what it looks like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.errors import SageError
from sage_ns.motion.transfer import playback_positions
from sage_ns.raster import Buffers, PinholeCamera
from sage_ns.system.parallel import cores_for_kernels
from sage_ns.video.camera_paths import (
    ROUND_SECONDS,
    CameraPath,
    along,
    capture_camera,
    orbiting,
    read_camera_path,
    resized,
    run_camera,
    swaying,
)

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar

PictureName = Literal["rgb", "normal", "depth", "alpha"]
AroundHead = Literal["frontal", "orbit", "sway"]
View: TypeAlias = "AroundHead | PinholeCamera | CameraPath"
"""Where one looks from: in front of, around or swaying before the avatar's head, from one place, or along a path."""

DEFAULT_SIZE = 512
"""Pixels of a side, where neither the user nor a camera says."""


def find_view(name: str, capture: Path | None, avatar: Path) -> View:
    """What a user calls a camera: frontal, orbit, sway, capture:INDEX, or the path of a camera path (.json).

    Args:
        name: as the user gave it.
        capture: capture folder whose camera is meant; by default the cameras that the avatar's run has kept.
        avatar: config.yml of a run, or an avatar file, which keeps no cameras.

    Raises:
        SageError: there is no such camera, or the file is broken.
    """
    if name in ("frontal", "orbit", "sway"):
        return name
    if name.endswith(".json"):
        return read_camera_path(Path(name))
    kind, _, index = name.partition(":")
    if kind != "capture" or not index.isdecimal():
        raise SageError(f"--camera {name}: choose frontal, orbit, sway, capture:INDEX or a camera path (.json)")
    if capture is not None:
        from sage_ns.capture.layout import read_capture

        return capture_camera(read_capture(capture), int(index))
    if avatar.suffix == ".npz":
        raise SageError(
            f"--camera {name}: the avatar file {avatar} keeps no cameras; give their capture: --capture DIR"
        )
    return run_camera(avatar.parent, int(index))


@dataclass(frozen=True, eq=False)
class Timeline:
    """Which moment of a motion each frame of a video shows."""

    positions: Float[Tensor, "num_frames"]
    """In rows of the motion."""
    motion_fps: float
    """Rows per second."""
    fps: float
    """Frames per second."""
    plays: bool
    """Whether the motion plays at its own speed; a camera path with times may do anything with it."""

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.positions)

    @property
    def seconds(self) -> float:
        """Length of the video."""
        return self.num_frames / self.fps


def timeline(sequences: Int[Tensor, "num_rows"], motion_fps: float, fps: float | None, view: View) -> Timeline:
    """When the frames are: the motion at its own speed, or what a camera path with times says.

    Args:
        sequences: which sequence each row of the motion belongs to.
        motion_fps: rows per second.
        fps: frames per second; None: those of a camera path with times that says, else the motion's.
        view: from where one looks.
    """
    if isinstance(view, CameraPath) and view.times is not None:
        positions = torch.tensor(view.times, dtype=torch.float64) * (len(sequences) - 1)
        return Timeline(positions, motion_fps, fps or view.fps or motion_fps, plays=False)
    fps = fps or motion_fps
    return Timeline(playback_positions(len(sequences), motion_fps, fps, sequences), motion_fps, fps, plays=True)


def picture_size(view: View, width: int | None, height: int | None, even: bool) -> tuple[int, int]:
    """Width and height in pixels: as given; where not, as the view has it, or in proportion to what was given.

    ``even`` leaves a row or column out where what was not given would be odd.
    """
    if isinstance(view, CameraPath):
        view = view.cameras[0]
    own = (view.width, view.height) if isinstance(view, PinholeCamera) else (DEFAULT_SIZE, DEFAULT_SIZE)
    scale = width / own[0] if width is not None else height / own[1] if height is not None else 1.0
    step = 2 if even else 1
    free = [max(step, round(scale * side) // step * step) for side in own]
    return width or free[0], height or free[1]


def cameras_for(view: View, avatar: Avatar, size: tuple[int, int], times: Timeline) -> list[PinholeCamera]:
    """One camera per frame, on the avatar's device; ``size`` is width and height in pixels."""
    if isinstance(view, CameraPath):
        on_way = view.cameras if view.times is not None else along(view.cameras, times.num_frames)
        cameras = [resized(camera, *size) for camera in on_way]
    elif isinstance(view, PinholeCamera):
        cameras = [resized(view, *size)] * times.num_frames
    else:
        front, (middle, _) = avatar.front_camera(*size), _head_size(avatar)
        rounds = max(1, round(times.seconds / ROUND_SECONDS))
        if view == "orbit":
            cameras = orbiting(front, middle, times.num_frames, rounds)
        elif view == "sway":
            cameras = swaying(front, middle, times.num_frames, rounds)
        else:
            cameras = [front] * times.num_frames
    return [camera.to(avatar.device) for camera in cameras]


def cores_for(avatar: Avatar) -> AbstractContextManager[None]:
    """To be open while frames are made and written: twice as fast on the CPU, see `cores_for_kernels`."""
    return cores_for_kernels() if avatar.device.type == "cpu" else nullcontext()


def draw_frames(
    avatar: Avatar,
    motion: Float[Tensor, "num_frames num_coefficients"],
    cameras: Sequence[PinholeCamera],
    name: PictureName = "rgb",
    background: Float[Tensor, "3"] | None = None,
) -> Iterator[Float[Tensor, "h w channels"]]:
    """The frames, one after the other, each drawn when it is asked for.

    Args:
        avatar: who is shown.
        motion: motion vectors of the avatar's rig.
        cameras: one per frame.
        name: what to show.
        background: colour 0..1; None: transparent, coverage as fourth channel and colours not multiplied by it.
    """
    middle, reach = _head_size(avatar)
    for vector, camera in zip(motion.to(avatar.device), cameras, strict=True):
        buffers = avatar.draw(camera, vector)
        depth = float((camera.T_camera_world[:3, :3] @ middle + camera.T_camera_world[:3, 3])[2])
        color = _premultiplied(buffers, name, depth - reach, depth + reach)
        if background is not None:
            yield (color + (1 - buffers.alpha) * background.to(color)).clamp(0, 1)
        else:
            straight = color / buffers.alpha.clamp_min(1e-6)
            yield torch.cat([straight, buffers.alpha], dim=-1).clamp(0, 1)


def _premultiplied(buffers: Buffers, name: PictureName, near: float, far: float) -> Float[Tensor, "h w 3"]:
    """What is shown, times the coverage; depths [metres] between near and far go from white to black."""
    if name == "rgb":
        return buffers.color
    if name == "normal":
        return (buffers.normal + buffers.alpha) / 2
    if name == "depth":
        return (buffers.alpha * ((far - buffers.depth) / (far - near)).clamp(0, 1)).expand_as(buffers.color)
    return buffers.alpha.expand_as(buffers.color)


def _head_size(avatar: Avatar) -> tuple[Float[Tensor, "3"], float]:
    """Middle of the head as it is at the canonical moment, and half of its longest side [metres]."""
    low, high = avatar.rig.vertices(avatar.motion.canonical()).aminmax(dim=0)
    return (low + high) / 2, float((high - low).max()) / 2
