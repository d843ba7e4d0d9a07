"""Distortion of lenses in OpenCV's model, and pictures without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

_STEPS = 2000
_FARTHEST = 4.0
"""Tangent of the largest angle from the optical axis at which the model is looked at: 76 degrees."""
_NONE = 1e-12


@dataclass(frozen=True)
class Lens:
    """Radial and tangential distortion (Brown 1966), as OpenCV, COLMAP and nerfstudio define it.

    A point at (x, y) = (X / Z, Y / Z) with r^2 = x^2 + y^2 is seen at::

        s  = (1 + k1 r^2 + k2 r^4 + k3 r^6 + ...) / (1 + d1 r^2 + d2 r^4 + d3 r^6)
        x' = s x + 2 p1 x y + p2 (r^2 + 2 x^2)
        y' = s y + p1 (r^2 + 2 y^2) + 2 p2 x y
    """

    radial: tuple[float, ...] = ()
    """k1, k2, k3, ..."""
    tangential: tuple[float, float] = (0.0, 0.0)
    """p1, p2"""
    divisor: tuple[float, ...] = ()
    """d1, d2, d3: OpenCV's k4, k5, k6. nerfstudio's k4 is the fourth radial coefficient."""

    @property
    def is_none(self) -> bool:
        """Whether nothing is distorted."""
        return not any(abs(each) > _NONE for each in (*self.radial, *self.tangential, *self.divisor))

    def distorted(self, points: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 2"]:
        """Return where points at (x, y) on the plane before the camera are seen on it."""
        x, y = points[..., 0], points[..., 1]
        squared = x**2 + y**2
        scale = self._scale(squared)
        p1, p2 = self.tangential
        return np.stack(
            [
                scale * x + 2 * p1 * x * y + p2 * (squared + 2 * x**2),
                scale * y + p1 * (squared + 2 * y**2) + 2 * p2 * x * y,
            ],
            axis=-1,
        )

    def largest_radius(self) -> float:
        """Return the radius r up to which the radial distortion grows with r; beyond it, the model folds back."""
        radius = np.linspace(0.0, _FARTHEST, _STEPS)
        with np.errstate(all="ignore"):
            seen = radius * self._scale(radius**2)
        grows = np.diff(seen) > 0
        return float(_FARTHEST if grows.all() else radius[int(np.argmin(grows))])

    def _scale(self, squared: np.ndarray) -> np.ndarray:
        return _series(self.radial, squared) / _series(self.divisor, squared)


NO_LENS = Lens()
"""A camera without distortion."""


@dataclass(frozen=True, eq=False)
class Straightening:
    """Takes the distortion out of pictures of one camera; the pinhole camera keeps size, focal lengths and centre.

    Args:
        lens: of the camera.
        focal: fx, fy [pixels].
        center: cx, cy [pixels]; pixel centres at +0.5.
        size: width, height [pixels].
    """

    lens: Lens
    focal: tuple[float, float]
    center: tuple[float, float]
    size: tuple[int, int]

    def sources(self) -> tuple[Float[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"]]:
        """Return where every pixel of the straight picture is in the distorted one [pixels], and whether it is there.

        Pixels that the distorted picture does not show, or that lie where the model folds back, are not there.
        """
        width, height = self.size
        rows, columns = np.mgrid[:height, :width] + 0.5
        plane = np.stack([(columns - self.center[0]) / self.focal[0], (rows - self.center[1]) / self.focal[1]], axis=-1)
        with np.errstate(all="ignore"):
            pixels = self.lens.distorted(plane) * self.focal + self.center
        inside = (pixels >= 0.5).all(axis=-1) & (pixels <= np.array(self.size) - 0.5).all(axis=-1)
        near = (plane**2).sum(axis=-1) < self.lens.largest_radius() ** 2
        return np.where((inside & near)[..., None], pixels, -1.0), inside & near

    def __call__(self, picture: UInt8[np.ndarray, "h w *channels"]) -> UInt8[np.ndarray, "h w *channels"]:
        """Return a straight picture or mask, bicubic; 0 where the distorted one shows nothing."""
        import cv2

        sources, there = self.sources()
        maps = (sources - 0.5).astype(np.float32)  # OpenCV's pixel centres are whole numbers
        straight = cv2.remap(picture, maps[..., 0], maps[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        straight[~there] = 0
        return straight


def _series(coefficients: tuple[float, ...], squared: np.ndarray) -> np.ndarray:
    total = np.ones_like(squared)
    power = np.ones_like(squared)
    for coefficient in coefficients:
        power = power * squared
        total = total + coefficient * power
    return total
