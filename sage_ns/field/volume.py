"""Volume rendering of the signed distance field along rays (method Eq. 9-11, after NeuS and MonoSDF)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.fields.sdf_field import LearnedVariance
from nerfstudio.model_components.ray_samplers import UniformSampler
from nerfstudio.utils.math import intersect_aabb
from torch import Tensor, nn

from sage_ns.field.sdf import FieldSample, SignedDistanceField

_SOFT_WIDTHS = 6.0
"""Half of the band that is rendered, in widths of the sigmoid that makes opacity of distance: 1 / sharpness."""
_LEAST_BAND = 0.002
"""Metres; what half of the band has in any case."""


class Radiance(Protocol):
    """What the canonical appearance is to volume rendering: colour at field samples, seen along directions."""

    def __call__(
        self, positions: Float[Tensor, "n 3"], sample: FieldSample, directions: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n 3"]:
        """Colours at ``positions`` [metres, canonical world]."""
        ...


@dataclass(frozen=True)
class RayBuffers:
    """What rays see of the field."""

    color: Float[Tensor, "num_rays 3"]
    """Premultiplied by alpha."""
    alpha: Float[Tensor, "num_rays 1"]
    depth: Float[Tensor, "num_rays 1"]
    """Expected distance along the ray, metres; not divided by alpha."""
    normal: Float[Tensor, "num_rays 3"]
    """Sum of weights times unit gradients, canonical axes."""
    gradients: Float[Tensor, "num_samples 3"]
    """Of the distance at all samples, for the eikonal loss."""


class VolumeRenderer(nn.Module):
    """Renders rays of the canonical field.

    ``num_coarse`` even samples along the ray's way through the field's cube find where it first goes below zero, or
    comes closest to it; ``num_fine`` samples are spread over a band about that place, as wide as the surface is soft.
    (Drawing them by weight, as for densities, spaces them by millimetres, and the rendered depth with them.)

    Args:
        num_coarse: samples that find the surface, without gradients.
        num_fine: samples that are rendered.
    """

    def __init__(self, num_coarse: int, num_fine: int) -> None:
        super().__init__()
        # Without stratification of their own: all randomness comes from `jitter`, so that a resumed run equals an
        # unbroken one.
        self.coarse = UniformSampler(num_samples=num_coarse, train_stratified=False)
        self.fine = UniformSampler(num_samples=num_fine, train_stratified=False)
        self.sharpness = LearnedVariance(init_val=0.75)
        """exp(10 * 0.75) = 1808 per metre: the surface starts about 2 mm thick, since it starts as the tracked mesh"""

    def forward(
        self,
        field: SignedDistanceField,
        radiance: Radiance,
        origins: Float[Tensor, "num_rays 3"],
        directions: Float[Tensor, "num_rays 3"],
        jitter: Float[Tensor, "num_rays"],
        reach: tuple[Float[Tensor, "num_rays"], Float[Tensor, "num_rays"]] | None = None,
    ) -> RayBuffers:
        """Colour, alpha, depth and normal along rays.

        Args:
            field: the distance, in canonical world space [metres].
            radiance: the canonical appearance.
            origins: metres.
            directions: unit length.
            jitter: 0..1, by how much of their spacing the samples of a ray are shifted.
            reach: from where to where the surface is looked for, metres; the whole cube where left out.
        """
        samples = self._sample(field, origins, directions, jitter, reach)
        positions = samples.frustums.get_positions()
        num_rays, num_samples = positions.shape[:2]
        flat, along = positions.reshape(-1, 3), samples.frustums.directions.reshape(-1, 3)
        sample = field.evaluate(flat, gradient=True)
        assert sample.gradient is not None
        alphas = self._alphas(sample, along, samples).reshape(num_rays, num_samples, 1)
        weights = RaySamples.get_weights_and_transmittance_from_alphas(alphas, weights_only=True)
        normals = torch.nn.functional.normalize(sample.gradient, dim=-1)
        middle = (samples.frustums.starts + samples.frustums.ends) / 2

        def rendered(values: Tensor) -> Tensor:
            return (weights * values.reshape(num_rays, num_samples, values.shape[-1])).sum(dim=1)

        return RayBuffers(
            color=rendered(radiance(flat, sample, along)),
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
    ) -> RaySamples:
        center, half = field.center, field.half_size
        box = torch.cat([center - half, center + half])
        # A ray within a face of the cube would divide zero by zero.
        slanted = torch.where(directions.abs() < 1e-7, 1e-7, directions)
        near, far = intersect_aabb(origins, slanted, box, max_bound=10.0)
        if reach is not None:
            near, far = torch.maximum(near, reach[0]), torch.minimum(far, reach[1])
        # Rays that miss the cube get a short way behind it, where the field is far from zero.
        missed = near >= far
        near, far = torch.where(missed, 9.0, near), torch.where(missed, 9.1, far)
        spacing = (far - near) / self.coarse.num_samples  # type: ignore[operator]
        shift = (jitter - 0.5) * spacing
        ones = torch.ones_like(origins[:, :1])
        rays = RayBundle(origins, directions, ones, nears=(near + shift)[:, None], fars=(far + shift)[:, None])
        coarse = self.coarse(rays).frustums
        points = coarse.origins + coarse.directions * coarse.starts
        place = _first_crossing(field.distance(points.reshape(-1, 3)).reshape(points.shape[:2]), coarse.starts[..., 0])
        band = _SOFT_WIDTHS / self.sharpness.get_variance() + _LEAST_BAND
        place = place + (jitter - 0.5) * 2 * band / self.fine.num_samples  # type: ignore[operator]
        rays.nears, rays.fars = (place - band).clamp_min(0.0)[:, None], (place + band)[:, None]
        return self.fine(rays)

    def _alphas(self, sample: FieldSample, directions: Tensor, samples: RaySamples) -> Float[Tensor, "n 1"]:
        """NeuS' opacity of each interval, from the distance in its middle and its slope along the ray."""
        assert sample.gradient is not None and samples.deltas is not None
        sharpness = self.sharpness.get_variance()
        slope = -torch.relu(-(directions * sample.gradient).sum(dim=-1, keepdim=True))
        half_step = 0.5 * slope * samples.deltas.reshape(-1, 1)
        distance = sample.distance[:, None]
        entering = torch.sigmoid((distance - half_step) * sharpness)
        leaving = torch.sigmoid((distance + half_step) * sharpness)
        return ((entering - leaving + 1e-5) / (entering + 1e-5)).clamp(0.0, 1.0)


def _first_crossing(
    distance: Float[Tensor, "num_rays num_samples"], places: Float[Tensor, "num_rays num_samples"]
) -> Float[Tensor, "num_rays"]:
    """Where along each ray the distance first goes from positive to negative (linearly), or else is smallest."""
    enters = (distance[:, :-1] > 0) & (distance[:, 1:] <= 0)
    before = enters.float().argmax(dim=1, keepdim=True)
    first, second = distance.gather(1, before), distance.gather(1, before + 1)
    start, end = places.gather(1, before), places.gather(1, before + 1)
    crossing = start + (end - start) * (first / (first - second).clamp_min(1e-9)).clamp(0.0, 1.0)
    closest = places.gather(1, distance.abs().argmin(dim=1, keepdim=True))
    return torch.where(enters.any(dim=1, keepdim=True), crossing, closest)[:, 0]
