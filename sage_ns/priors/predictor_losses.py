"""Losses of a predictor: of guesses against the truth, and of drawn surfels against pictures and mesh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.light import light_factors
from sage_ns.priors.predictor_rig import HeadGuess, PredictorRig, SquareCamera
from sage_ns.priors.predictor_surfels import PlacedPerson
from sage_ns.raster import PinholeCamera, rasterize
from sage_ns.training import losses

_CENTIMETRE = 0.01
_SOFT = 1e-4
"""Metres: distances below this count by their square, so that gradients are finite at 0."""
_SIDEWAYS = 64
"""Directions in which lights are compared."""


@dataclass(frozen=True)
class PredictorWeights:
    """Weight of each loss."""

    posed: float = 1.0
    """mean distance of landmarks and vertices around the middle of the face, in centimetres; the rotation counts"""
    still: float = 2.0
    """the same without the rotation: identity and expression alone"""
    landmarks: float = 20.0
    """mean distance of landmarks in the picture, in sides of the square; the place and the size in the picture"""
    eyes: float = 0.5
    """mean error of the angles of the eyes, in radians"""
    light: float = 1.0
    """mean difference of the light's factors"""
    coefficients: float = 1e-3
    """mean square of identity and expression: what pictures do not show stays at the mean"""
    l1: float = 1.0
    """difference of colours of drawn surfels"""
    dissimilarity: float = 0.2
    """1 - SSIM of drawn surfels"""
    silhouette: float = 0.3
    """coverage of drawn surfels against the mask"""
    normal_consistency: float = 0.1
    """normals of surfels against those of their triangles"""
    depth_consistency: float = 5.0
    """drawn depth against that of the mesh, in metres: 1 cm counts like 0.05 of colour"""


Terms = dict[str, Float[Tensor, ""]]
"""Raw losses by the names of `PredictorWeights`."""


def weighed(terms: Terms, weights: PredictorWeights) -> Float[Tensor, ""]:
    """Return the weighted sum of losses."""
    return torch.stack([getattr(weights, name) * value for name, value in terms.items()]).sum()


def head_terms(guess: HeadGuess, truth: HeadGuess, rig: PredictorRig, camera: SquareCamera) -> Terms:
    """Return how far guesses are from the truth.

    The rotation turns a head as a whole, so that turning it back gives the head at rest, with its jaw and eyes.
    """
    count = rig.num_landmarks
    with torch.no_grad():
        true = rig.located(truth, camera)
        seen, true_points = camera.within(true.points[:, :count]), true.around_face(count)
    found = rig.located(guess, camera)
    points = found.around_face(count)
    return {
        "posed": distance(points, true_points) / _CENTIMETRE,
        "still": distance(points @ found.rotation, true_points @ true.rotation) / _CENTIMETRE,
        "landmarks": landmark_distance(camera.within(found.points[:, :count]), seen),
        "eyes": (guess.eyes - truth.eyes).abs().mean(),
        "light": light_difference(guess.light, truth.light),
        "coefficients": coefficients(guess),
    }


def surfel_terms(
    person: PlacedPerson,
    camera: PinholeCamera,
    clean: Float[Tensor, "h w 3"],
    cover: Float[Tensor, "h w 1"],
    background: Float[Tensor, "3"],
) -> Terms:
    """Return how far drawn surfels are from a picture and from their mesh.

    Args:
        person: the surfels.
        camera: of the picture.
        clean: the picture of the head, premultiplied by its coverage.
        cover: coverage.
        background: a colour behind both.
    """
    buffers = rasterize(person.surfels, camera)
    drawn, truth = buffers.color + (1 - buffers.alpha) * background, clean + (1 - cover) * background
    return {
        "l1": losses.l1(drawn, truth),
        "dissimilarity": losses.dissimilarity(drawn, truth),
        "silhouette": losses.silhouette(buffers.alpha, cover),
        "normal_consistency": person.normal_consistency(),
        "depth_consistency": person.depth_consistency(buffers.depth, buffers.alpha, camera),
    }


def distance(found: Float[Tensor, "n m 3"], truth: Float[Tensor, "n m 3"]) -> Float[Tensor, ""]:
    """Return the mean distance of points [metres]: ``mean sqrt(|d|^2 + e^2) - e``."""
    return ((found - truth).square().sum(dim=-1) + _SOFT**2).sqrt().mean() - _SOFT


def landmark_distance(found: Float[Tensor, "n m 2"], truth: Float[Tensor, "n m 2"]) -> Float[Tensor, ""]:
    """Return the mean absolute difference of landmarks in the picture, along both axes [sides of the square]."""
    return (found - truth).abs().mean()


def light_difference(found: Float[Tensor, "n 9 3"], truth: Float[Tensor, "n 9 3"]) -> Float[Tensor, ""]:
    """Return the mean difference of the factors of lights on skin that faces the camera."""
    normals = _towards_camera(found.device, found.dtype).expand(len(found), -1, -1)
    return (light_factors(found, normals) - light_factors(truth, normals)).abs().mean()


def coefficients(guess: HeadGuess) -> Float[Tensor, ""]:
    """Return the mean square of the coefficients of identity, plus that of expression."""
    return guess.shape.square().mean() + guess.expression.square().mean()


@cache
def _towards_camera(device: torch.device, dtype: torch.dtype) -> Float[Tensor, "n 3"]:
    """Return unit vectors spread evenly over the half of a sphere that faces +z (Fibonacci's spiral)."""
    number = torch.arange(_SIDEWAYS, dtype=torch.float64) + 0.5
    z, angle = 1 - number / _SIDEWAYS, number * (torch.pi * (3 - 5**0.5))
    radius = (1 - z**2).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], dim=1).to(device, dtype)
