"""The frames of a video of an avatar, drawn on access."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.errors import OptionError
from sage_ns.raster import Buffers, PinholeCamera
from sage_ns.system.parallel import cores_for_kernels
from sage_ns.video.footage import Footage
from sage_ns.video.timeline import Timeline
from sage_ns.video.views import head_size
from sage_ns.video.writer import beside

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar
    from sage_ns.avatar.look import Look

PictureName = Literal["rgb", "normal", "depth", "alpha"]


@dataclass(frozen=True, eq=False)
class Frames:
    """Pictures of a moving avatar, 0..1; every access draws a picture."""

    avatar: Avatar
    """The avatar in the pictures."""
    motion: Float[Tensor, "num_frames num_coefficients"]
    """Motion vectors of the avatar's rig, on its device."""
    cameras: Sequence[PinholeCamera]
    """One per frame, on the avatar's device."""
    picture: PictureName = "rgb"
    """Kind of picture: colour, normals (world axes), depth (near is bright) or coverage."""
    background: Float[Tensor, "3"] | None = None
    """Colour 0..1; None: transparent, with coverage as fourth channel and colours not multiplied by it."""
    look: Look | None = None
    """Look of the avatar; None: its own look."""

    def __len__(self) -> int:
        return len(self.motion)

    def __iter__(self) -> Iterator[Float[Tensor, "h w channels"]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Float[Tensor, "h w channels"]:
        camera = self.cameras[index]
        with cores_for(self.avatar):
            buffers = self.avatar.draw(camera, self.motion[index], self.look)
            middle, reach = self._head
            depth = float((camera.T_camera_world[:3, :3] @ middle + camera.T_camera_world[:3, 3])[2])
            color = _premultiplied(buffers, self.picture, depth - reach, depth + reach)
            if self.background is not None:
                return (color + (1 - buffers.alpha) * self.background.to(color)).clamp(0, 1)
            straight = color / buffers.alpha.clamp_min(1e-6)
            return torch.cat([straight, buffers.alpha], dim=-1).clamp(0, 1)

    @cached_property
    def _head(self) -> tuple[Float[Tensor, "3"], float]:
        return head_size(self.avatar)


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Frames with the driver's pictures to their left."""

    drawn: Frames
    footage: Footage
    times: Timeline
    start: int
    """The first row of the motion that is shown."""

    def __len__(self) -> int:
        return len(self.drawn)

    def __iter__(self) -> Iterator[Float[Tensor, "h w channels"]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Float[Tensor, "h w channels"]:
        row = self.start + float(self.times.positions[index])
        return beside(self.footage.at(row, row / self.times.motion_fps), self.drawn[index])


def check_picture(name: str) -> None:
    """Check that `Frames` can draw a kind of picture.

    Raises:
        OptionError: it cannot; lists all kinds.
    """
    if name not in get_args(PictureName):
        raise OptionError(f"choose one of {', '.join(get_args(PictureName))}", picture=name)


def cores_for(avatar: Avatar) -> AbstractContextManager[None]:
    """Return a context for drawing and writing frames, which is twice as fast on the CPU; see `cores_for_kernels`."""
    return cores_for_kernels() if avatar.device.type == "cpu" else nullcontext()


def _premultiplied(buffers: Buffers, name: PictureName, near: float, far: float) -> Float[Tensor, "h w 3"]:
    """Return the picture times the coverage; depths [metres] from near to far become white to black."""
    if name == "rgb":
        return buffers.color
    if name == "normal":
        return (buffers.normal + buffers.alpha) / 2
    if name == "depth":
        return (buffers.alpha * ((far - buffers.depth) / (far - near)).clamp(0, 1)).expand_as(buffers.color)
    return buffers.alpha.expand_as(buffers.color)
