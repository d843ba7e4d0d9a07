"""Volume rendering of the signed distance field along rays (method Eq. 9-11, after NeuS and MonoSDF)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sage_ns.field.sdf import FieldSample, SignedDistanceField
from sage_ns.field.warp.backward import BackwardWarp, rigid_inverse

_SOFT_WIDTHS = 6.0
"""Half-width of the rendered band, in widths (1 / sharpness) of the sigmoid that turns distance into opacity."""
_LEAST_BAND = 0.002
"""Metres; added to the half-width of the band."""
_FARTHEST = 10.0
"""Metres; rays are searched up to this distance."""


class Radiance(Protocol):
    """Interface of the canonical appearance for volume rendering: colour of field samples seen along directions."""

    def __call__(
        self, positions: Float[Tensor, "n 3"], sample: FieldSample, directions: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n 3"]:
        """Return colours at ``positions`` [metres, canonical world]."""
        ...


@dataclass(frozen=True)
class RayBuffers:
    """Rendered values of the field along rays."""

    color: Float[Tensor, "num_rays 3"]
    """Premultiplied by alpha."""
    alpha: Float[Tensor, "num_rays 1"]
    depth: Float[Tensor, "num_rays 1"]
    """Expected distance along the ray, metres; not divided by alpha."""
    normal: Float[Tensor, "num_rays 3"]
    """Sum of weights times unit normals, in the axes of the rays: canonical, or posed with a warp."""
    gradients: Float[Tensor, "num_samples 3"]
    """Of the distance at all samples, for the eikonal loss; always canonical."""


@dataclass(frozen=True)
class RaySamples:
    """Intervals along rays, metres from their origins."""

    starts: Float[Tensor, "num_rays num_samples"]
    ends: Float[Tensor, "num_rays num_samples"]

    @classmethod
    def even(
        cls,
        fractions: Float[Tensor, "num_samples_and_one"],
        near: Float[Tensor, "num_rays"],
        far: Float[Tensor, "num_rays"],
    ) -> RaySamples:
        """Create intervals from ``near`` to ``far`` whose borders are at ``fractions`` of the way, 0..1."""
        borders = fractions * far[:, None] + (1 - fractions) * near[:, None]
        return cls(borders[:, :-1], borders[:, 1:])

    def middles(
        self, origins: Float[Tensor, "num_rays 3"], directions: Float[Tensor, "num_rays 3"]
    ) -> Float[Tensor, "num_rays num_samples 3"]:
        """Return the midpoints of the intervals of rays with these origins and directions."""
        return origins[:, None] + directions[:, None] * (self.starts + self.ends)[..., None] / 2


class Sharpness(nn.Module):
    """The learned sharpness of the step from empty to solid, 1/metre: ``exp(10 variance)`` (after NeuS).

    Args:
        initial: first value of ``variance``, the name that NeuS gives the parameter.
    """

    def __init__(self, initial: float) -> None:
        super().__init__()
        self.variance = nn.Parameter(torch.full((1,), initial))

    def forward(self) -> Float[Tensor, "1"]:
        """Return the sharpness, within 1e-6 and 1e6."""
        return torch.exp(self.variance * 10.0).clip(1e-6, 1e6)


class VolumeRenderer(nn.Module):
    """Volume renderer of the canonical field.

    ``num_coarse`` evenly spaced samples of the ray inside the field's cube find where the distance first goes below
    zero, or comes closest to zero. ``num_fine`` samples are evenly spaced in a band about that place, which is as wide
    as the surface is soft. (Samples drawn by weight, as for densities, are millimetres apart, which makes the rendered
    depth equally coarse.)

    With a backward warp w, rays are those of a posed moment: samples lie on the true ray, so depths are those of its
    camera, and the field f is evaluated at w(x). With the Jacobian J of w, the distance changes along a ray of
    direction d by ``grad f . J d``, the posed normal is ``J^T grad f``, normalised, and the radiance is seen along
    ``J d``.

    Args:
        num_coarse: samples that find the surface, without gradients.
        num_fine: samples that are rendered.
    """

    coarse: Tensor
    fine: Tensor

    def __init__(self, num_coarse: int, num_fine: int) -> None:
        super().__init__()
        # Fixed: all randomness comes from `jitter`, so that a resumed run equals an unbroken one.
        self.register_buffer("coarse", torch.linspace(0.0, 1.0, num_coarse + 1), persistent=False)
        self.register_buffer("fine", torch.linspace(0.0, 1.0, num_fine + 1), persistent=False)
        self.sharpness = Sharpness(0.75)
        """exp(10 * 0.75) = 1808 per metre: the initial surface is about 2 mm thick, as it starts as the tracked mesh"""

    def forward(
        self,
        field: SignedDistanceField,
        radiance: Radiance,
        origins: Float[Tensor, "num_rays 3"],
        directions: Float[Tensor, "num_rays 3"],
        jitter: Float[Tensor, "num_rays"],
        reach: tuple[Float[Tensor, "num_rays"], Float[Tensor, "num_rays"]] | None = None,
        warp: BackwardWarp | None = None,
    ) -> RayBuffers:
        """Render colour, alpha, depth and normal along rays.

        Args:
            field: the distance, in canonical world space [metres].
            radiance: the canonical appearance.
            origins: metres.
            directions: unit length.
            jitter: 0..1, shift of a ray's samples as a fraction of their spacing.
            reach: start and end of the search for the surface along each ray, metres; None searches the whole cube.
            warp: from the world of the rays to the canonical world; None if both are the same.
        """
        samples = self._sample(field, origins, directions, jitter, reach, warp)
        num_rays, num_samples = samples.starts.shape
        flat = samples.middles(origins, directions).reshape(-1, 3)
        along = directions[:, None].expand(-1, num_samples, -1).reshape(-1, 3)
        warped = None if warp is None else warp(flat)
        place = flat if warped is None else warped.canonical
        sample = field.evaluate(place, gradient=True)
        assert sample.gradient is not None
        speed = along if warped is None else warped.carried(along)
        gaze = along if warped is None else torch.nn.functional.normalize(speed, dim=-1)
        alphas = self._alphas(sample, speed, samples).reshape(num_rays, num_samples, 1)
        weights = rendering_weights(alphas)
        gradient = sample.gradient if warped is None else warped.pulled_back(sample.gradient)
        normals = torch.nn.functional.normalize(gradient, dim=-1)
        middle = (samples.starts + samples.ends)[..., None] / 2

        def rendered(values: Tensor) -> Tensor:
            return (weights * values.reshape(num_rays, num_samples, values.shape[-1])).sum(dim=1)

        return RayBuffers(
            color=rendered(radiance(place, sample, gaze)),
            alpha=weights.sum(dim=1),
            depth=rendered(middle),
            normal=rendered(normals),
            gradients=sample.gradient,
        )

    @torch.no_grad()
    def _sample(
        self,
        field: SignedDistanceField,
        origins: Tensor,
        directions: Tensor,
        jitter: Tensor,
        reach: tuple[Tensor, Tensor] | None,
        warp: BackwardWarp | None,
    ) -> RaySamples:
        if warp is None:
            near, far = through_cube(origins, directions, field.center, field.half_size)
        else:  # the cube moves with the skull; parts that move against it stay in the room about the head
            rotation, offset = (each.to(origins) for each in rigid_inverse(warp.skull))
            turned = origins @ rotation.mT + offset, directions @ rotation.mT
            near, far = through_cube(*turned, field.center, field.half_size)
        if reach is not None:
            near, far = torch.maximum(near, reach[0]), torch.minimum(far, reach[1])
        # Rays that miss the cube get a short way behind it, where the field is far from zero.
        missed = near >= far
        near, far = torch.where(missed, 9.0, near), torch.where(missed, 9.1, far)
        shift = (jitter - 0.5) * ((far - near) / (len(self.coarse) - 1))
        places = RaySamples.even(self.coarse, near + shift, far + shift).starts
        points = (origins[:, None] + directions[:, None] * places[..., None]).reshape(-1, 3)
        canonical = points if warp is None else warp.places(points)
        place = _first_crossing(field.distance(canonical).reshape(places.shape), places)
        band = _SOFT_WIDTHS / self.sharpness() + _LEAST_BAND
        place = place + (jitter - 0.5) * 2 * band / (len(self.fine) - 1)
        return RaySamples.even(self.fine, (place - band).clamp_min(0.0), place + band)

    def _alphas(self, sample: FieldSample, speed: Tensor, samples: RaySamples) -> Float[Tensor, "n 1"]:
        """Compute NeuS' opacity of each interval, from the distance in its middle and its slope along the ray.

        ``speed`` is how the canonical place moves along the ray: its direction, or J d with a warp.
        """
        assert sample.gradient is not None
        sharpness = self.sharpness()
        slope = -torch.relu(-(speed * sample.gradient).sum(dim=-1, keepdim=True))
        half_step = 0.5 * slope * (samples.ends - samples.starts).reshape(-1, 1)
        distance = sample.distance[:, None]
        entering = torch.sigmoid((distance - half_step) * sharpness)
        leaving = torch.sigmoid((distance + half_step) * sharpness)
        return ((entering - leaving + 1e-5) / (entering + 1e-5)).clamp(0.0, 1.0)


def through_cube(
    origins: Float[Tensor, "num_rays 3"],
    directions: Float[Tensor, "num_rays 3"],
    center: Float[Tensor, "3"],
    half_size: Float[Tensor, ""],
) -> tuple[Float[Tensor, "num_rays"], Float[Tensor, "num_rays"]]:
    """Return where rays enter and leave a cube, metres along them in 0..10; enter >= leave for rays that miss it."""
    # A ray within a face of the cube would divide zero by zero.
    slanted = torch.where(directions.abs() < 1e-7, 1e-7, directions)
    low, high = (center - half_size - origins) / slanted, (center + half_size - origins) / slanted
    enter = torch.minimum(low, high).amax(dim=-1)
    leave = torch.maximum(low, high).amin(dim=-1)
    return enter.clamp(0.0, _FARTHEST), leave.clamp(0.0, _FARTHEST)


def rendering_weights(alphas: Float[Tensor, "num_rays num_samples 1"]) -> Float[Tensor, "num_rays num_samples 1"]:
    """Compute each interval's weight in its ray (Eq. 11): opacity times the share of light that reaches it."""
    # Even solid intervals let 1e-7 of the light through, which keeps the product's gradient finite.
    passing = torch.cat([torch.ones_like(alphas[:, :1]), 1.0 - alphas + 1e-7], dim=1)
    return alphas * passing.cumprod(dim=1)[:, :-1]


def _first_crossing(
    distance: Float[Tensor, "num_rays num_samples"], places: Float[Tensor, "num_rays num_samples"]
) -> Float[Tensor, "num_rays"]:
    """Find where on each ray the distance first goes from positive to negative (linearly), else is nearest to 0."""
    enters = (distance[:, :-1] > 0) & (distance[:, 1:] <= 0)
    before = enters.float().argmax(dim=1, keepdim=True)
    first, second = distance.gather(1, before), distance.gather(1, before + 1)
    start, end = places.gather(1, before), places.gather(1, before + 1)
    crossing = start + (end - start) * (first / (first - second).clamp_min(1e-9)).clamp(0.0, 1.0)
    closest = places.gather(1, distance.abs().argmin(dim=1, keepdim=True))
    return torch.where(enters.any(dim=1, keepdim=True), crossing, closest)[:, 0]
