"""A picture of the canonical head, and which of its pixels show skin, which show hair."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.capture.shot import Shot
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.geometry.triangles import triangle_normals
from sage_ns.raster.cameras import pixel_rays, project
from sage_ns.rig import HeadModel
from sage_ns.rig.warp import meeting_points

_INSIDE = 0.98
"""Of the soft mask; at its fringe the background shines through."""
_BEHIND = 0.006
"""Metres by which a point may lie behind what the picture shows of the tracked head: that is off by a millimetre."""
_FACING = 0.3
"""Cosine between normal and direction to the camera below which a picture shows a point too slantingly."""
_CLEARLY_FACING = 0.5
_FEWEST = 20
"""Pixels that a kind of colour must have, below which it is not known."""
_APART = 1.2
"""Standard deviations between the mean colours of hair and skin, below which the scalp is skin: a shaved head."""
_NOISE = 0.02
"""Standard deviation of a colour that is added to each kind's."""
_NOT_PLAIN = ("lips", "eyes", "eye_region", "left_eye_region", "right_eye_region", "forehead")


@dataclass(frozen=True, eq=False)
class Photo:
    """One picture of the canonical head beside the tracked head.

    Args:
        shot: the picture, on the CPU.
        head_model: head model of the rig.
        vertices: of the rig at the canonical moment [metres].
    """

    shot: Shot
    head_model: HeadModel
    vertices: Float[Tensor, "num_vertices 3"]

    @cached_property
    def triangle(self) -> Int[Tensor, "h w"]:
        """Triangle of the tracked head that each pixel shows; -1 beside it."""
        camera = self.shot.camera
        origins, directions = (rays.reshape(-1, 3) for rays in pixel_rays(camera))
        hits = TriangleMesh(self.vertices, self.head_model.triangles).first_hits(origins, directions)
        return hits.triangle.reshape(camera.height, camera.width)

    @cached_property
    def depth(self) -> Float[Tensor, "h w"]:
        """Camera depth of the tracked head [metres]; infinite beside it."""
        origins, directions = (rays.reshape(-1, 3) for rays in pixel_rays(self.shot.camera))
        hit = self.triangle.reshape(-1)
        met = hit >= 0
        depth = torch.full((len(hit),), torch.inf)
        depth[met] = meeting_points(origins[met], directions[met], self.vertices, self.head_model.triangles, hit[met])
        return depth.reshape(self.triangle.shape)

    @cached_property
    def solid(self) -> Bool[Tensor, "h w"]:
        """Pixels that show the person and nothing of the background."""
        foreground = self.shot.foreground[..., 0]
        if self.shot.steady is not None:
            foreground = foreground * self.shot.steady[..., 0]
        inner = -F.max_pool2d(-foreground[None, None], 3, stride=1, padding=1)[0, 0]
        return inner > _INSIDE

    @cached_property
    def _cosine(self) -> Float[Tensor, "num_triangles"]:
        centers = self.vertices[self.head_model.triangles].mean(dim=1)
        towards = F.normalize(self.shot.camera.center - centers, dim=-1)
        return (triangle_normals(self.vertices, self.head_model.triangles) * towards).sum(dim=-1)

    def shows(self, region: str) -> Bool[Tensor, "h w"]:
        """Return pixels that show a region of the tracked head from its front."""
        part = self.head_model.regions.triangle_mask(region, self.head_model.triangles)
        part = part & (self._cosine > _CLEARLY_FACING)
        return (self.triangle >= 0) & part[self.triangle.clamp_min(0)]

    def seen(self, points: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"]) -> Bool[Tensor, "n"]:
        """Return which points [metres] with unit normals the picture shows."""
        at = project(points, self.shot.camera)
        towards = F.normalize(self.shot.camera.center - points, dim=-1)
        shown = at.inside & ((normals * towards).sum(dim=-1) > _FACING)
        return shown & self.solid[at.row, at.column] & (at.depth < self.depth[at.row, at.column] + _BEHIND)

    @cached_property
    def is_hair(self) -> Bool[Tensor, "h w"]:
        """Pixels of the person that have the colour of hair rather than of skin; none on a shaved head.

        Two normal distributions of colours: one of face without eyes and lips, one of scalp and of what stands out
        beside the tracked head above the ears. Brows, nostrils and shadows have such colours, too, but do not hang
        together with the hair.
        """
        colors, solid = self.shot.picture, self.solid
        plain = self.shows("face") & solid
        for name in _NOT_PLAIN:
            plain &= ~self._part(name)
        hair = solid & (self.shows("hair") | self._beside_the_scalp)
        nothing = torch.zeros_like(solid)
        if int(plain.sum()) < _FEWEST or int(hair.sum()) < _FEWEST:
            return nothing
        skin = _Colors.of(colors[plain])
        found = nothing
        for _ in range(2):  # the second time without skin that the first guess took for hair
            kind = _Colors.of(colors[hair])
            if kind.apart(skin) < _APART:
                return nothing
            found = kind.likelihood(colors) > skin.likelihood(colors)
            hair = hair & found
            if int(hair.sum()) < _FEWEST:
                return nothing
        return _connected(found & (self.shot.foreground[..., 0] > 0.5), hair)

    def _part(self, region: str) -> Bool[Tensor, "h w"]:
        part = self.head_model.regions.triangle_mask(region, self.head_model.triangles)
        return (self.triangle >= 0) & part[self.triangle.clamp_min(0)]

    @cached_property
    def _beside_the_scalp(self) -> Bool[Tensor, "h w"]:
        """Pixels beside the tracked head, above the middle of its ears (of its face, if the rig has no ears)."""
        regions = self.head_model.regions
        names = [name for name in ("left_ear", "right_ear") if name in regions] or ["face"]
        heights = project(torch.cat([self.vertices[regions.vertices(name)] for name in names]), self.shot.camera)
        rows = torch.arange(self.shot.camera.height)[:, None]
        return (self.triangle < 0) & (rows < heights.pixels[:, 1].mean())


def _connected(pixels: Bool[Tensor, "h w"], sample: Bool[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """Return the connected parts of the pixels of which at least a tenth belongs to the sample."""
    from scipy.ndimage import label

    parts: tuple[np.ndarray, int] = label(pixels.numpy())  # type: ignore[assignment]
    numbered = torch.from_numpy(parts[0]).long()
    sizes = torch.bincount(numbered.flatten())
    sampled = torch.bincount(numbered[sample & pixels], minlength=len(sizes))
    kept = sampled >= 0.1 * sizes
    kept[0] = False
    return kept[numbered]


@dataclass(frozen=True, eq=False)
class _Colors:
    """Normal distribution of colours."""

    mean: Float[Tensor, "3"]
    covariance: Float[Tensor, "3 3"]

    @classmethod
    def of(cls, colors: Float[Tensor, "n 3"]) -> _Colors:
        mean = colors.mean(dim=0)
        off = colors - mean
        return cls(mean, off.T @ off / len(colors) + _NOISE**2 * torch.eye(3))

    def likelihood(self, colors: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
        """Return the logarithm of the density, up to a constant."""
        off = colors - self.mean
        inverse, determinant = torch.linalg.inv(self.covariance), torch.linalg.det(self.covariance)
        return -0.5 * torch.einsum("...i,ij,...j->...", off, inverse, off) - 0.5 * determinant.log()

    def apart(self, other: _Colors) -> float:
        """Return the distance of the means in standard deviations of both."""
        off = self.mean - other.mean
        return float((off @ torch.linalg.inv((self.covariance + other.covariance) / 2) @ off).sqrt())
