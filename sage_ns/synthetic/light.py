"""Light of the synthetic studio, computed at vertices: soft boxes with soft shadows, surroundings with occlusion."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

Vectors = Float[np.ndarray, "n 3"]
_OFFSET = 4e-4  # metres: rays leave this far off the surface


@dataclass(frozen=True)
class Light:
    """A distant soft box: the direction towards it (world), its colour, and its apparent radius (radians)."""

    toward: tuple[float, float, float]
    color: tuple[float, float, float]
    spread: float

    @property
    def direction(self) -> Float[np.ndarray, "3"]:
        """Unit direction towards the light."""
        return np.asarray(self.toward) / np.linalg.norm(self.toward)


@dataclass(frozen=True)
class Studio:
    """Lights and surroundings, fixed in the world."""

    lights: tuple[Light, ...] = (
        Light((0.55, 0.60, 0.85), (1.05, 1.01, 0.95), 0.16),
        Light((-0.90, 0.25, 0.55), (0.40, 0.43, 0.48), 0.25),
        Light((-0.35, 0.65, -0.90), (0.62, 0.62, 0.66), 0.20),
        Light((0.75, 0.15, -0.75), (0.34, 0.33, 0.32), 0.20),
    )
    sky: tuple[float, float, float] = (0.62, 0.64, 0.67)
    ground: tuple[float, float, float] = (0.34, 0.30, 0.27)
    wrap: tuple[float, float, float] = field(default=(0.26, 0.12, 0.09))
    """How far (cosine) light reaches into the skin's shadow side, per channel: an approximation of scattering."""

    def surround(self, directions: Vectors) -> Vectors:
        """Return the radiance of the surroundings in unit `directions`."""
        up = 0.5 + 0.5 * directions[..., 1:2]
        return np.asarray(self.ground) * (1.0 - up) + np.asarray(self.sky) * up


class Caster:
    """Ray queries on a set of triangles (Intel Embree through embreex)."""

    def __init__(self, vertices: Vectors, triangles: Int[np.ndarray, "num_triangles 3"]) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self._scene = EmbreeScene()
        self._mesh = TriangleMesh(self._scene, vertices.astype(np.float32), triangles.astype(np.int32))

    def is_free(self, origins: Vectors, directions: Vectors) -> Float[np.ndarray, "n"]:
        """Return 1 for each ray that no triangle blocks, else 0."""
        hit = self._scene.run(
            np.ascontiguousarray(origins, dtype=np.float32), np.ascontiguousarray(directions, dtype=np.float32),
            query="OCCLUDED",
        )  # fmt: skip
        return (hit < 0).astype(np.float64)

    def first_hit(
        self, origins: Vectors, directions: Vectors
    ) -> tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n 2"], Bool[np.ndarray, "n"]]:
        """Return the first triangle hit (-1: none), u, v there (weights of corners 2, 3), and if hit from outside."""
        found = self._scene.run(
            np.ascontiguousarray(origins, dtype=np.float32),
            np.ascontiguousarray(directions, dtype=np.float32),
            output=1,
        )
        from_outside = np.einsum("ni,ni->n", found["Ng"], directions) < 0.0
        return found["primID"], np.stack([found["u"], found["v"]], axis=-1), from_outside


def _spiral(num: int) -> tuple[Float[np.ndarray, "num"], Float[np.ndarray, "num"]]:
    """Return evenly spread points of the unit disc as radius and angle (Vogel's spiral)."""
    index = np.arange(num) + 0.5
    return np.sqrt(index / num), index * np.pi * (3.0 - np.sqrt(5.0))


def _frame(normals: Vectors) -> tuple[Vectors, Vectors]:
    """Return two unit vectors that complete every normal to an orthonormal frame (Duff et al. 2017)."""
    x, y, z = normals.T
    sign = np.where(z >= 0.0, 1.0, -1.0)
    a = -1.0 / (sign + z)
    b = x * y * a
    return np.stack([1.0 + sign * x * x * a, sign * b, -sign * x], -1), np.stack([b, sign + y * y * a, -y], -1)


def ambient(caster: Caster, studio: Studio, points: Vectors, normals: Vectors, num_rays: int) -> Vectors:
    """Compute irradiance / pi from the surroundings, with cosine-distributed rays."""
    radius, angle = _spiral(num_rays)
    first, second = _frame(normals)
    total = np.zeros_like(points)
    origins = points + _OFFSET * normals
    for r, a in zip(radius, angle, strict=True):
        direction = r * np.cos(a) * first + r * np.sin(a) * second + np.sqrt(max(1.0 - r * r, 0.0)) * normals
        total += caster.is_free(origins, direction)[:, None] * studio.surround(direction)
    return total / num_rays


def visibility(
    caster: Caster, studio: Studio, points: Vectors, normals: Vectors, num_rays: int
) -> Float[np.ndarray, "n num_lights"]:
    """Compute the visible part (0..1) of every soft box that is above the surface's horizon, else 0."""
    radius, angle = _spiral(num_rays)
    shares = []
    for light in studio.lights:
        first, second = _frame(light.direction[None])
        lit = np.flatnonzero(normals @ light.direction > -0.30)
        free = np.zeros(len(points))
        origins = points[lit] + _OFFSET * normals[lit]
        for r, a in zip(radius, angle, strict=True):
            direction = light.direction + light.spread * r * (np.cos(a) * first[0] + np.sin(a) * second[0])
            direction /= np.linalg.norm(direction)
            free[lit] += caster.is_free(origins, np.broadcast_to(direction, origins.shape))
        shares.append(free / num_rays)
    return np.stack(shares, axis=-1)


def lit_skin(
    studio: Studio, albedo: Vectors, normals: Vectors, ambient_light: Vectors,
    visible: Float[np.ndarray, "n num_lights"], soft: Float[np.ndarray, "n"],
) -> Vectors:  # fmt: skip
    """Compute the diffuse radiance of a surface; `soft` (0..1) is the amount of scattering (skin 1, eyes less)."""
    total = ambient_light.copy()
    wrap = np.asarray(studio.wrap) * soft[:, None]
    for index, light in enumerate(studio.lights):
        cosine = (normals @ light.direction)[:, None]
        total += (
            visible[:, index : index + 1] * np.clip((cosine + wrap) / (1.0 + wrap), 0.0, 1.0) * np.asarray(light.color)
        )
    return albedo * total


def lit_hair(
    studio: Studio, albedo: Vectors, tangents: Vectors, outward: Vectors, ambient_light: Vectors,
    visible: Float[np.ndarray, "n num_lights"],
) -> Vectors:  # fmt: skip
    """Compute the diffuse radiance of hair (Kajiya and Kay 1989), darker where the strand faces away from the light."""
    total = 1.1 * ambient_light
    for index, light in enumerate(studio.lights):
        along = tangents @ light.direction
        facing = np.clip(0.35 + 0.65 * (outward @ light.direction), 0.05, 1.0)
        sine = np.sqrt(np.clip(1.0 - along**2, 0.0, 1.0)) * facing
        total += (visible[:, index] * sine)[:, None] * np.asarray(light.color)
    return albedo * total
