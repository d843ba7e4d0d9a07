"""How the difference between a drawn head and a picture pulls at the places of the head: the terms of a Newton step.

Where the drawing R moves by u pixels, it changes by ``-u . grad R``. Every pixel belongs to the place of the atlas that
it shows. A place k whose pixels differ from the picture I by ``r = R - I`` is therefore pulled like a landmark: the sum
over its pixels of ``w (r - g . u)^2`` is a quadratic form in its motion u, with the tensor ``A_k = sum w g g^T`` and
the pull ``b_k = sum w r g`` (Lucas and Kanade 1981; g is the mean of both pictures' gradients, which makes the step
one of second order: Malis 2004). With the derivatives J_k of the place's pixel after the unknowns, the step s solves
``(sum_k J_k^T A_k J_k) s = sum_k J_k^T b_k``. Pixels are summed before unknowns come in, which makes steps cheap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree
from torch import Tensor

from sage_ns.tracking.least_squares import cauchy_weights
from sage_ns.tracking.lit_person import Drawing
from sage_ns.tracking.picture_level import PictureLevel


@dataclass(frozen=True)
class PictureNoise:
    """What differences between a drawing and a picture mean."""

    color: float = 0.08
    """Difference of colours (0..1) from which on a pixel counts for less (Cauchy's loss): glasses, beards, shine."""
    coverage: float = 0.25
    """The same of the coverage."""
    observations: float = 700.0
    """Number of independent observations in the area of a face: neighbouring pixels err together."""


def shown_places(
    pixels: Float[Tensor, "num_places 2"], size: tuple[int, int], reach: float
) -> tuple[Int[Tensor, "h w"], Bool[Tensor, "h w"]]:
    """Return the place next to every pixel, and whether it is within reach.

    Args:
        pixels: the places in the picture.
        size: height and width of the picture.
        reach: pixels.
    """
    height, width = size
    rows, columns = np.mgrid[:height, :width] + 0.5
    grid = np.stack([columns.ravel(), rows.ravel()], axis=-1)
    distance, nearest = KDTree(pixels.double().numpy()).query(grid, k=1, distance_upper_bound=reach)
    near = torch.from_numpy(np.isfinite(distance)).reshape(height, width)
    return torch.from_numpy(np.asarray(nearest)).reshape(height, width).clamp(max=len(pixels) - 1), near


def differences(drawing: Drawing, level: PictureLevel, noise: PictureNoise) -> Float[Tensor, "h w 4"]:
    """Return the differences of colour on white and of coverage, in the units of `PictureNoise`."""
    color = (drawing.on_white - level.picture) / noise.color
    return torch.cat([color, (drawing.alpha - level.matte) / noise.coverage], dim=-1)


def robust_sum(found: Float[Tensor, "h w 4"], weight: Float[Tensor, "h w"]) -> float:
    """Return ``sum_p w_p log(1 + r_p^2)``, which steps have to lower."""
    return float((weight[..., None] * torch.log1p(found.double() ** 2)).sum())


@dataclass(frozen=True, eq=False)
class Pulls:
    """A quadratic form in the motion of every place, pixels."""

    tensor: Float[Tensor, "num_places 2 2"]
    pull: Float[Tensor, "num_places 2"]

    def normal_equations(
        self, jacobian: Float[Tensor, "num_places 2 n"]
    ) -> tuple[Float[Tensor, "n n"], Float[Tensor, "n"]]:
        """Return ``sum_k J_k^T A_k J_k`` and ``sum_k J_k^T b_k``."""
        left = torch.einsum("kij,kjn->kin", self.tensor, jacobian).flatten(0, 1)
        return jacobian.flatten(0, 1).T @ left, torch.einsum("kin,ki->n", jacobian, self.pull)


def pulls(
    drawing: Drawing,
    level: PictureLevel,
    nearest: Int[Tensor, "h w"],
    weight: Float[Tensor, "h w"],
    num_places: int,
    noise: PictureNoise,
) -> Pulls:
    """Return how pixels pull at the places that they show.

    Args:
        drawing: of the head.
        level: the picture.
        nearest: place of every pixel.
        weight: of every pixel.
        num_places: number of places.
        noise: units of differences.
    """
    found = differences(drawing, level, noise)
    color, alpha = (drawing.on_white + level.picture) / 2, (drawing.alpha + level.matte) / 2
    slopes = slopes_of(torch.cat([color / noise.color, alpha / noise.coverage], dim=-1))
    w = (weight[..., None] * cauchy_weights(found, 1.0))[..., None]
    tensor = torch.einsum("hwci,hwcj->hwij", w * slopes, slopes).flatten(2)
    pull = (w * slopes * found[..., None]).sum(dim=2)
    terms = torch.cat([tensor, pull], dim=-1).double().flatten(0, 1)
    summed = terms.new_zeros(num_places, 6).index_add_(0, nearest.flatten(), terms)
    return Pulls(summed[:, :4].reshape(-1, 2, 2), summed[:, 4:])


def slopes_of(image: Float[Tensor, "h w c"]) -> Float[Tensor, "h w c 2"]:
    """Return central differences along x and y, per pixel; 0 at the border."""
    slopes = image.new_zeros(*image.shape, 2)
    slopes[:, 1:-1, :, 0] = (image[:, 2:] - image[:, :-2]) / 2
    slopes[1:-1, :, :, 1] = (image[2:] - image[:-2]) / 2
    return slopes
