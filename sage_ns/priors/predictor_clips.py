"""Frames of captures to learn a predictor from without their tracking: squares around the faces of a detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from sage_ns.capture.checked import CaptureOptions
from sage_ns.capture.images import background_color
from sage_ns.errors import CaptureError
from sage_ns.image.crop import Crop, sampled
from sage_ns.priors.people import frame_camera, frame_pixels, training_moments
from sage_ns.priors.predictor_rig import CROP_OF_BOX, SquareCamera
from sage_ns.raster import PinholeCamera

FindLandmarks = Callable[[UInt8[Tensor, "height width 3"]], Float[Tensor, "num_landmarks 2"] | None]
"""Returns the landmarks of the face in a picture [pixels], or None where no face can be trusted."""
_FEWEST = 2
"""Frames with a face that a capture needs: one is drawn as the other moves."""


@dataclass(frozen=True, eq=False)
class ClipFrames:
    """Frames of all captures; those of one capture lie together."""

    pictures: UInt8[Tensor, "n side side 3"]
    """Over the background of the captures, which is white."""
    masks: UInt8[Tensor, "n side side 1"]
    landmarks: Float[Tensor, "n num_landmarks 2"]
    """In the square, 0..1."""
    focal: Float[Tensor, "n"]
    principal: Float[Tensor, "n 2"]
    center: Float[Tensor, "n 2"]
    side: Float[Tensor, "n"]
    intrinsics: Float[Tensor, "n 3 3"]
    """Of the squares' pixels, for drawing."""
    first: tuple[int, ...]
    """Number of each capture's first frame, and at last the number of all."""

    def to(self, device: torch.device | str) -> ClipFrames:
        """Return the same frames on another device."""
        return replace(self, **{name: each.to(device) for name, each in vars(self).items() if name != "first"})

    def cameras(self, rows: Int[Tensor, "m"]) -> SquareCamera:
        """Return the cameras of some frames."""
        return SquareCamera(self.focal[rows], self.principal[rows], self.center[rows], self.side[rows])

    def drawing_camera(self, row: Int[Tensor, ""]) -> PinholeCamera:
        """Return the camera that draws the square of a frame, in the axes of the frame's camera."""
        return square_camera(self.intrinsics.index_select(0, row[None])[0], self.pictures.shape[1])

    def pairs(self, count: int, generator: torch.Generator) -> Int[Tensor, "2 count"]:
        """Draw frames, and another frame of the same capture for each; on the CPU."""
        captures = torch.randint(len(self.first) - 1, (count,), generator=generator)
        low, high = torch.tensor(self.first[:-1])[captures], torch.tensor(self.first[1:])[captures]
        size = high - low
        source = (torch.rand(count, generator=generator) * size).long()
        further = 1 + (torch.rand(count, generator=generator) * (size - 1)).long()
        return torch.stack([low + source, low + (source + further) % size])


def square_camera(intrinsics: Float[Tensor, "3 3"], side: int) -> PinholeCamera:
    """Return a camera at the origin that looks along -z (y up)."""
    one = intrinsics.new_ones(1)
    return PinholeCamera(torch.diag(torch.cat([one, -one, -one, one])), intrinsics, side, side)


def square_intrinsics(camera: SquareCamera, side: int) -> Float[Tensor, "n 3 3"]:
    """Return the intrinsics of squares that are scaled to ``side`` pixels."""
    scale = side / camera.side
    focal, zero = camera.focal * scale, torch.zeros_like(scale)
    corner = camera.center - 0.5 * camera.side[:, None]
    middle = (camera.principal - corner) * scale[:, None]
    rows = [focal, zero, middle[:, 0], zero, focal, middle[:, 1], zero, zero, torch.ones_like(zero)]
    return torch.stack(rows, dim=1).reshape(-1, 3, 3)


def square_of(points: Float[Tensor, "n 2"]) -> tuple[Float[Tensor, "2"], float]:
    """Return middle and side of the square that a predictor looks at, from the landmarks of a face [pixels]."""
    low, high = points.amin(dim=0), points.amax(dim=0)
    return 0.5 * (low + high), CROP_OF_BOX * float((high - low).max())


def taken_square(
    picture: UInt8[Tensor, "h w 3"], center: Float[Tensor, "2"], side: float, resolution: int
) -> Float[Tensor, "resolution resolution 3"]:
    """Return the pixels of a square of a picture, 0..1; beyond the picture, its outermost pixels."""
    x, y = center.tolist()
    return sampled(picture, Crop((x, y), side), resolution, "border")


def read_clips(
    captures: Sequence[CaptureOptions],
    find: FindLandmarks,
    side: int,
    most: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ClipFrames:
    """Read the frames of captures that show a face. Test moments are never among them.

    Args:
        captures: clips of one person each, with masks.
        find: finds the landmarks of a face.
        side: of the squares, pixels.
        most: largest number of moments of each capture besides the canonical one.
        progress: called with (captures done, captures in total).

    Raises:
        SageError: a capture cannot be read, has no masks, or shows fewer than two faces.
    """
    rows, first = [], [0]
    for done, options in enumerate(captures):
        _, moments = training_moments(options, most)
        white = background_color(options.background)
        for frame in (each for frames in moments.values() for each in frames):
            picture, mask = frame_pixels(frame, options.downscale_factor, white)
            points = find(picture)
            if points is not None:
                camera = frame_camera(frame, options.downscale_factor)
                rows.append(_frame(picture, mask, points.float(), camera, side))
        if len(rows) - first[-1] < _FEWEST:
            raise CaptureError(
                f"{options.data}: found {len(rows) - first[-1]} training frames that show a face, expected at least "
                f"{_FEWEST}. Give a clip, or pictures of several cameras."
            )
        first.append(len(rows))
        progress(done + 1, len(captures))
    parts = (torch.stack(part) for part in zip(*rows, strict=True))
    pictures, masks, landmarks, focal, principal, center, sides = parts
    camera = SquareCamera(focal, principal, center, sides)
    return ClipFrames(
        pictures, masks, landmarks, focal, principal, center, sides, square_intrinsics(camera, side), tuple(first)
    )


def _frame(picture: Tensor, mask: Tensor, points: Tensor, camera: PinholeCamera, side: int) -> tuple[Tensor, ...]:
    center, size = square_of(points)
    taken = taken_square(picture, center, size, side)
    covered = taken_square(mask.expand(-1, -1, 3), center, size, side)[..., :1]
    intrinsics = camera.intrinsics
    return (
        (255 * taken).round().to(torch.uint8),
        (255 * covered).round().to(torch.uint8),
        (points - center) / size + 0.5,
        0.5 * (intrinsics[0, 0] + intrinsics[1, 1]),
        intrinsics[:2, 2],
        center,
        torch.tensor(size),
    )
