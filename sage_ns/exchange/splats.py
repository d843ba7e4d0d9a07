"""Conversion of an avatar at one moment to splats: positions, rotations, scales, and a colour for every direction."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.mouth import part_shade
from sage_ns.exchange.discs import as_discs
from sage_ns.geometry.rotations import quaternion_multiply
from sage_ns.geometry.spherical_harmonics import C0, NUM_COEFFICIENTS, scaled_harmonics
from sage_ns.raster.gaussians import THICKNESS

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar
    from sage_ns.avatar.look import Look
    from sage_ns.avatar.mouth import Mouth
    from sage_ns.raster import Surfels

_MOST_OPAQUE = 1 - 1e-6
"""Largest opacity that has a finite logit in single precision."""


@dataclass(frozen=True, eq=False)
class Splats:
    """Gaussian discs or 3D Gaussians with a colour for every direction; values as programs of 3DGS store them."""

    means: Float[Tensor, "num_splats 3"]
    """Centres in world axes, metres."""
    quaternions: Float[Tensor, "num_splats 4"]
    """Unit, wxyz, splat to world; the normal is the rotated z axis."""
    log_scales: Float[Tensor, "num_splats num_axes"]
    """Logarithm of the standard deviations along the two tangents, or the three axes of 3D Gaussians [metres]."""
    opacity_logits: Float[Tensor, "num_splats"]
    sh: Float[Tensor, "num_splats num_coefficients 3"]
    """Real harmonics of the world direction camera -> splat, see `sage_ns.geometry.spherical_harmonics`."""

    @property
    def colors(self) -> Float[Tensor, "num_splats 3"]:
        """Colours of degree 0, 0..1: the mean over all directions."""
        return (0.5 + C0 * self.sh[:, 0]).clamp(0.0, 1.0)

    @property
    def ellipsoid_log_scales(self) -> Float[Tensor, "num_splats 3"]:
        """Three scales: those of discs with a thin third one along the normal, see `THICKNESS`."""
        return with_thickness(self.log_scales)

    def as_discs(self) -> Splats:
        """Return discs; of a 3D Gaussian the shortest axis becomes the normal."""
        if self.log_scales.shape[1] == 2:
            return self
        log_scales, quaternions, _ = as_discs(self.log_scales, self.quaternions)
        return replace(self, log_scales=log_scales, quaternions=quaternions)

    def upside_down(self) -> Splats:
        """Return the splats rotated by half a turn about the z axis: y points down, and the front stays in front.

        The rotation multiplies a harmonic of order m by (-1)^m.
        """
        half_turn = self.quaternions.new_tensor([0.0, 0.0, 0.0, 1.0])
        orders = [m for degree in range(4) for m in range(-degree, degree + 1)][: self.sh.shape[1]]
        signs = self.sh.new_tensor([(-1.0) ** abs(m) for m in orders])
        return replace(
            self,
            means=self.means * self.means.new_tensor([-1.0, -1.0, 1.0]),
            quaternions=quaternion_multiply(half_turn, self.quaternions),
            sh=self.sh * signs[:, None],
        )

    def of_degree(self, degree: int) -> Splats:
        """Return the splats with zeros added for the coefficients up to ``degree``, which is not below their own."""
        return replace(self, sh=F.pad(self.sh, (0, 0, 0, NUM_COEFFICIENTS[degree] - self.sh.shape[1])))

    @property
    def degree(self) -> int:
        """Degree of the harmonics."""
        return NUM_COEFFICIENTS.index(self.sh.shape[1])


def with_thickness(log_scales: Float[Tensor, "num_splats num_axes"]) -> Float[Tensor, "num_splats 3"]:
    """Return the logarithms of three scales; a missing third scale is `THICKNESS` times the smaller of the two."""
    if log_scales.shape[1] == 3:
        return log_scales
    thin = log_scales.amin(dim=-1, keepdim=True) + math.log(THICKNESS)
    return torch.cat([log_scales, thin], dim=-1)


@torch.no_grad()
def splats_of(avatar: Avatar, motion: Float[Tensor, "num_coefficients"], look: Look | None = None) -> Splats:
    """Convert the avatar under ``motion`` to splats, including correction, mouth, wrinkles and the light of the room.

    Colours are the surfels' own harmonics times the factors of the moment: wrinkles, and the light that enters an open
    mouth. The formats cannot store effects that depend on the camera's position, and these are left out: the inside of
    the head is neither dark nor hidden. Computed for one camera, it would make the back of the head black for others.

    Args:
        look: look of the avatar; None uses the avatar's own look.
    """
    look = look or avatar.look
    # Any position works: the effects that depend on the camera are switched off below.
    anywhere = torch.zeros_like(avatar.background)
    own = avatar.surfels.attributes
    # White surfels take the factors as their colours.
    white = replace(own, sh_dc=torch.full_like(own.sh_dc, 0.5 / C0), sh_rest=torch.zeros_like(own.sh_rest))
    placed = avatar.place(anywhere, motion, replace(look, mouth=False, dark_interior=False), white)
    head = _with_colors(placed, torch.cat([own.sh_dc, own.sh_rest], dim=1), placed.colors)
    if avatar.mouth is None or not look.mouth:
        return head
    light = avatar.mouth_light(avatar.poses.at(motion), look)
    return _joined(head, _mouth(avatar.mouth, motion, anywhere, look.surfel_size, light))


def _mouth(
    mouth: Mouth,
    motion: Float[Tensor, "num_coefficients"],
    anywhere: Float[Tensor, "3"],
    size: float,
    light: Float[Tensor, "3"],
) -> Splats:
    model, own = mouth.rig.head_model, mouth.surfels
    shade = part_shade(model, mouth.rig.vertices(motion), mouth.openings, mouth.shade)
    placed = mouth.place(motion, anywhere)
    placed = replace(placed, scales=size * placed.scales)
    return _with_colors(placed, torch.cat([own.sh_dc, own.sh_rest], dim=1), shade[own.triangle, None] * light)


def _with_colors(
    placed: Surfels, sh: Float[Tensor, "num_splats num_coefficients 3"], factor: Float[Tensor, "num_splats channels"]
) -> Splats:
    """Make splats of placed surfels whose colour is ``factor`` times the colour of the harmonics."""
    opacities = placed.opacities.clamp(1 - _MOST_OPAQUE, _MOST_OPAQUE)
    quaternions = F.normalize(placed.quaternions, dim=-1)
    return Splats(placed.means, quaternions, placed.scales.log(), torch.logit(opacities), scaled_harmonics(sh, factor))


def _joined(*parts: Splats) -> Splats:
    degree = max(part.degree for part in parts)
    padded = [part.of_degree(degree) for part in parts]
    if len({part.log_scales.shape[1] for part in parts}) > 1:
        padded = [replace(part, log_scales=part.ellipsoid_log_scales) for part in padded]
    return Splats(*(torch.cat([getattr(part, each.name) for part in padded]) for each in fields(Splats)))
