"""Quick pictures of any rig, painted like the built-in head: for detectors that look for a face, not for eyes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.geometry.vertex_means import vertex_normals
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import pixel_rays
from sage_ns.raster.supersampling import enlarged
from sage_ns.rig import HeadModel
from sage_ns.rig.correspondence import correspondence
from sage_ns.synthetic.head import builtin_head
from sage_ns.synthetic.person_look import PersonLook, plain_look
from sage_ns.synthetic.skin import surface_albedo

_SUPERSAMPLING = 2
_AMBIENT, _SUN = 0.55, 0.75
INSIDE = (0.045, 0.014, 0.012)
"""Linear colour of the inner side of the skin, which an open mouth shows."""
PAINTED_BROWS = 0.8
"""Strength of the colour of brows without hairs."""
_MILLIMETRES = 1e3


@dataclass(frozen=True, eq=False)
class PaintingPlaces:
    """What the painter has to know of the vertices of a head model."""

    millimetres: Float[torch.Tensor, "num_vertices 3"]
    """Their places on the mean built-in head."""
    scalp: Float[torch.Tensor, "num_vertices 1"]
    """1 where hair grows."""
    eyes: Float[torch.Tensor, "num_vertices 1"]
    """1 on eyeballs."""

    @classmethod
    def on(cls, model: HeadModel) -> PaintingPlaces:
        """Return them for any head model; one that is not the built-in head is registered to it.

        Raises:
            RegistrationError: the model is no head that the built-in head can be registered to.
        """
        reference, own = builtin_head(), model.to("cpu")
        same = own.v_template.shape == reference.v_template.shape and torch.equal(own.v_template, reference.v_template)
        places = own.v_template if same else correspondence(own, reference).vertices
        masks = (own.regions.vertex_mask(name, own.num_vertices).float()[:, None] for name in ("scalp", "eyes"))
        return cls(places * _MILLIMETRES, *masks)

    def joined(self) -> Float[torch.Tensor, "num_vertices 5"]:
        """Return all of it as columns, for interpolation."""
        return torch.cat([self.millimetres, self.scalp, self.eyes], dim=1)


def albedo_at(at: Float[np.ndarray, "n 5"], look: PersonLook) -> Float[np.ndarray, "n 3"]:
    """Return the albedo (linear) of a person at points, given by the columns of `PaintingPlaces.joined`."""
    eyes: Bool[np.ndarray, "n"] = at[:, 4] > 0.5
    return surface_albedo(at[:, :3], at[:, 3], eyes, look)[0]


class PaintedHead:
    """A head model with colours and without hair, glasses or light that bounces.

    Args:
        model: mean head of any model; one that is not the built-in head is registered to it, for where to paint.

    Raises:
        RegistrationError: the model is no head that the built-in head can be registered to.
    """

    def __init__(self, model: HeadModel) -> None:
        self.triangles = model.triangles.cpu()
        self._places = PaintingPlaces.on(model).joined()

    def picture(
        self,
        vertices: Float[torch.Tensor, "num_vertices 3"],
        camera: PinholeCamera,
        seed: int = 0,
        background: float = 0.6,
    ) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
        """Draw the posed head.

        Args:
            vertices: posed, metres.
            camera: where from.
            seed: of colours, beard and the direction of the light.
            background: grey level, 0..1.

        Returns:
            sRGB picture, and which part of each pixel the head covers.
        """
        large = enlarged(camera, _SUPERSAMPLING)
        origins, directions = (each.reshape(-1, 3) for each in pixel_rays(large))
        hits = TriangleMesh(vertices, self.triangles).first_hits(origins, directions)
        rows = (hits.triangle >= 0).nonzero()[:, 0]
        seen = vertex_normals(vertices, self.triangles), self._places
        at = (torch.cat(seen, dim=1)[self.triangles[hits.triangle[rows]]] * hits.barycentric[rows, :, None]).sum(dim=1)
        normals, places = (part.double().numpy() for part in at.split([3, 5], dim=1))
        rng = np.random.default_rng([seed, 707])
        plain = plain_look(seed, "short")
        beard = replace(plain.beard, shade=plain.beard.shade * int(rng.integers(2)))
        look = replace(plain, beard=beard, brows=replace(plain.brows, shade=PAINTED_BROWS))
        albedo = albedo_at(places, look)
        sun = rng.normal(size=3) * (1.0, 0.5, 0.0) + (0.0, 0.5, 1.0)
        lit = _AMBIENT + _SUN * np.clip(normals @ (sun / np.linalg.norm(sun)), 0.0, 1.0)
        inner = (normals * directions[rows].double().numpy()).sum(axis=1) > 0
        linear = np.where(inner[:, None], INSIDE, albedo * lit[:, None])
        color = np.full((len(origins), 3), background)
        color[rows.numpy()] = np.clip(linear, 0.0, 1.0) ** (1 / 2.2)
        cover = np.zeros(len(origins))
        cover[rows.numpy()] = 1.0
        shape = (camera.height, _SUPERSAMPLING, camera.width, _SUPERSAMPLING)
        pixels = color.reshape(*shape, 3).mean(axis=(1, 3))
        return np.round(255 * pixels).astype(np.uint8), cover.reshape(shape).mean(axis=(1, 3))
