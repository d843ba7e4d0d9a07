"""The avatar's surfels: parameters in the frames of their triangles, and placement in the world."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sage_ns.avatar.placement import place_surfels
from sage_ns.geometry.spherical_harmonics import NUM_COEFFICIENTS, scaled_harmonics, sh_colors
from sage_ns.geometry.triangles import TriangleFrames
from sage_ns.raster import Surfels


@dataclass(frozen=True)
class SurfelAttributes:
    """Attributes of surfels other than the centres, in the frames of their triangles; as in :class:`BoundSurfels`."""

    quaternions: Float[Tensor, "num_surfels 4"]
    log_scales: Float[Tensor, "num_surfels num_axes"]
    opacity_logits: Float[Tensor, "num_surfels"]
    sh_dc: Float[Tensor, "num_surfels 1 3"]
    sh_rest: Float[Tensor, "num_surfels num_rest 3"]


class BoundSurfels(nn.Module):
    """Surfels bound to the triangles of a rig (GaussianAvatars' binding, method Eq. 4).

    All learned values are in the frame of the bound triangle; lengths are in units of its scale.
    The names of the parameters are the names of their optimiser groups.

    Args:
        triangle: index of the triangle that each surfel is bound to.
        means: local centres, in triangle scales.
        quaternions: local rotations, wxyz; the surfel's normal is the rotated z axis.
        log_scales: logarithm of the two tangent scales, in triangle scales; with three scales, these are 3D Gaussians.
        opacity_logits: inverse sigmoid of the opacity.
        sh_dc: spherical harmonics of degree 0 (3DGS' convention: colour = 0.5 + 0.282 * sh_dc).
        sh_rest: the higher degrees.
    """

    PARAMETERS = ("means", "quaternions", "log_scales", "opacity_logits", "sh_dc", "sh_rest")
    triangle: Tensor

    def __init__(
        self,
        triangle: Int[Tensor, "num_surfels"],
        means: Float[Tensor, "num_surfels 3"],
        quaternions: Float[Tensor, "num_surfels 4"],
        log_scales: Float[Tensor, "num_surfels num_axes"],
        opacity_logits: Float[Tensor, "num_surfels"],
        sh_dc: Float[Tensor, "num_surfels 1 3"],
        sh_rest: Float[Tensor, "num_surfels num_rest 3"],
    ) -> None:
        super().__init__()
        self.register_buffer("triangle", triangle)
        self.means = nn.Parameter(means)
        self.quaternions = nn.Parameter(quaternions)
        self.log_scales = nn.Parameter(log_scales)
        self.opacity_logits = nn.Parameter(opacity_logits)
        self.sh_dc = nn.Parameter(sh_dc)
        self.sh_rest = nn.Parameter(sh_rest)

    @property
    def num_surfels(self) -> int:
        """Number of surfels."""
        return self.means.shape[0]

    @property
    def are_flat(self) -> bool:
        """Whether these are discs, not 3D Gaussians."""
        return self.log_scales.shape[1] == 2

    @property
    def attributes(self) -> SurfelAttributes:
        """The stored attributes of the surfels."""
        return SurfelAttributes(self.quaternions, self.log_scales, self.opacity_logits, self.sh_dc, self.sh_rest)

    @property
    def sh_degree(self) -> int:
        """Degree of the view-dependent colour."""
        return NUM_COEFFICIENTS.index(1 + self.sh_rest.shape[1])

    @torch.no_grad()
    def keep(self, attributes: SurfelAttributes) -> None:
        """Store ``attributes`` as those of the surfels; bakes predictions of networks."""
        for name in self.PARAMETERS[1:]:
            getattr(self, name).copy_(getattr(attributes, name))

    def centers(self, frames: TriangleFrames) -> Float[Tensor, "num_surfels 3"]:
        """Return the centres at the moment of ``frames`` [metres, world]; gradients reach the surfels' means."""
        return place_surfels(self.means, self.quaternions, self.log_scales, self.opacity_logits, self.triangle, frames)[
            0
        ]

    def place(
        self,
        frames: TriangleFrames,
        camera_center: Float[Tensor, "3"],
        shade: Float[Tensor, "num_triangles channels"] | None = None,
        attributes: SurfelAttributes | None = None,
    ) -> Surfels:
        """Return surfels in the world at the moment of ``frames``, coloured as seen from ``camera_center`` [metres].

        ``shade`` is a factor on the colour of each triangle's surfels, one for all channels or one for each;
        ``attributes`` replace the stored ones.
        """
        own = attributes or self.attributes
        means, quaternions, scales, opacities = place_surfels(
            self.means, own.quaternions, own.log_scales, own.opacity_logits, self.triangle, frames
        )
        colors = sh_colors(own.sh_dc, means, camera_center, own.sh_rest)
        if shade is not None:
            colors = colors * shade[self.triangle]
        return Surfels(means, quaternions, scales, opacities, colors)

    @torch.no_grad()
    def lit(self, factor: Float[Tensor, "num_triangles 3"]) -> BoundSurfels:
        """Return a copy whose colours, in all directions, are ``factor`` of the triangle times these."""
        sh = scaled_harmonics(torch.cat([self.sh_dc, self.sh_rest], dim=1), factor[self.triangle])
        others = {name: getattr(self, name).clone() for name in self.PARAMETERS[:4]}
        return BoundSurfels(self.triangle.clone(), **others, sh_dc=sh[:, :1], sh_rest=sh[:, 1:])

    @torch.no_grad()
    def rows(self, which: Bool[Tensor, "num_surfels"]) -> BoundSurfels:
        """Return a copy of some of the surfels."""
        return BoundSurfels(self.triangle[which], *(getattr(self, name)[which] for name in self.PARAMETERS))

    @torch.no_grad()
    def joined(self, others: BoundSurfels) -> BoundSurfels:
        """Return a copy of these surfels and of others of the same rig and the same degree of colour, in this order."""
        together = (torch.cat([getattr(self, name), getattr(others, name)]) for name in self.PARAMETERS)
        return BoundSurfels(torch.cat([self.triangle, others.triangle]), *together)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        take_sizes(self, (*self.PARAMETERS, "triangle"), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


def take_sizes(module: nn.Module, names: Iterable[str], state_dict: Mapping[str, Tensor], prefix: str) -> None:
    """Resize tensors to their sizes in a checkpoint, which may have another number of surfels, before loading it.

    Only the storage of the tensors is replaced: they stay the same objects, and optimisers stay attached.
    """
    for name in names:
        stored = state_dict.get(prefix + name)
        if stored is not None:
            tensor = getattr(module, name)
            tensor.data = torch.empty_like(stored, device=tensor.device)
