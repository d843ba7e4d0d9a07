"""Render pictures of the synthetic person: one ray per sub-pixel, colours computed beforehand at the vertices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from sage_ns.synthetic.light import Caster, Studio, ambient, lit_hair, lit_skin, visibility
from sage_ns.synthetic.skin import Material
from sage_ns.synthetic.strands import Strands, blades
from sage_ns.synthetic.surface import vertex_normals
from sage_ns.synthetic.true_skin import TrueSkin

_INSIDE = np.array([0.045, 0.014, 0.012], dtype=np.float32)
"""Linear colour of the skin's inner side, visible behind the lips."""
_BOUNCE = np.array([0.22, 0.120, 0.11])
"""Light (linear) that the walls of the mouth reflect into the mouth; the studio computes direct light only. Chosen by
eye, like the walls' albedo, on moments of a capture that no test uses (docs/benchmarks.md)."""
_SKIN, _HAIR = 0, 1


@dataclass(frozen=True)
class StudioCamera:
    """A pinhole camera: OpenGL camera-to-world (metres), focal length and size in pixels, centred principal point."""

    camera_to_world: Float[np.ndarray, "4 4"]
    focal: float
    width: int
    height: int

    def rays(
        self, columns: Float[np.ndarray, "m n"], rows: Float[np.ndarray, "m n"]
    ) -> tuple[Float[np.ndarray, "m*n 3"], Float[np.ndarray, "m*n 3"]]:
        """Return origins and unit directions through image positions (pixels; pixel centres at +0.5), row by row."""
        x, y = (columns - 0.5 * self.width) / self.focal, -(rows - 0.5 * self.height) / self.focal
        local = np.stack([x, y, -np.ones_like(x)], axis=-1).reshape(-1, 3)
        world = local @ self.camera_to_world[:3, :3].T
        world /= np.linalg.norm(world, axis=-1, keepdims=True)
        return np.broadcast_to(self.camera_to_world[:3, 3], world.shape), world

    def project(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        """Return image positions (pixels) of world points in front of the camera."""
        local = (points - self.camera_to_world[:3, 3]) @ self.camera_to_world[:3, :3]
        return np.stack(
            [0.5 * self.width - self.focal * local[:, 0] / local[:, 2],
             0.5 * self.height + self.focal * local[:, 1] / local[:, 2]], axis=-1,
        )  # fmt: skip


@dataclass(frozen=True)
class Quality:
    """Numbers of rays for a picture."""

    supersampling: int = 3
    """Rays per pixel along each side."""
    ambient_rays: int = 24
    shadow_rays: int = 6
    hair_rays: int = 7


@dataclass(frozen=True)
class Person:
    """Everything about the synthetic person that does not change over time."""

    skin: TrueSkin
    material: Material
    strands: tuple[Strands, ...]
    rig_triangles: Int[np.ndarray, "num_triangles 3"]
    softness: Float[np.ndarray, "num_fine"]
    studio: Studio
    quality: Quality


@dataclass(frozen=True)
class Scene:
    """The person at one moment, lit and ready for ray casts. Attributes are per vertex, kinds per triangle."""

    caster: Caster
    vertices: Float[np.ndarray, "v 3"]
    triangles: Int[np.ndarray, "t 3"]
    attributes: Float[np.ndarray, "v 9"]
    """Diffuse radiance (3), normal or hair tangent (3), gloss, sharpness, visible part of the first light."""
    kind: Int[np.ndarray, "t"]
    surface: Float[np.ndarray, "num_fine 3"]
    """True skin (with eyeballs and mouth), metres."""


def build_scene(
    person: Person, posed: Float[np.ndarray, "num_vertices 3"], expr: Float[np.ndarray, "num_expression"]
) -> Scene:
    """Pose the person with rig vertices at `posed` (metres), compute its light, and index it for ray casts."""
    refinement = person.skin.refinement
    surface = person.skin.vertices(posed, expr)
    normals = vertex_normals(surface, refinement.fine_triangles)
    cap = person.skin.cap
    hair = [(s, *blades(*s.posed(posed, person.rig_triangles), s.width)) for s in person.strands]
    vertices, triangles = [surface], [refinement.fine_triangles, cap]
    start = len(surface)
    for _, hair_vertices, hair_triangles, _ in hair:
        vertices.append(hair_vertices)
        triangles.append(hair_triangles + start)
        start += len(hair_vertices)
    everything, all_triangles = np.concatenate(vertices), np.concatenate(triangles)
    caster = Caster(everything, all_triangles)
    parts = [_skin_attributes(person, caster, surface, normals)]
    center = surface[: len(posed)].mean(axis=0)
    parts += [
        _hair_attributes(person, caster, strands, points, tangent, center) for strands, points, _, tangent in hair
    ]
    kind = np.full(len(all_triangles), _HAIR, dtype=np.int8)
    kind[: len(refinement.fine_triangles) + len(cap)] = _SKIN
    return Scene(caster, everything, all_triangles, np.concatenate(parts).astype(np.float32), kind, surface)


def _skin_attributes(person: Person, caster: Caster, surface: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Compute light at the coarse vertices (which come first among the fine ones) and interpolate it."""
    refinement, quality, studio = person.skin.refinement, person.quality, person.studio
    points, normal = surface[: refinement.num_coarse], normals[: refinement.num_coarse]
    gathered = np.concatenate(
        [
            ambient(caster, studio, points, normal, quality.ambient_rays),
            visibility(caster, studio, points, normal, quality.shadow_rays),
        ],
        axis=-1,
    )
    gathered = refinement.coarse_to_fine @ gathered
    around, visible = gathered[:, :3], np.clip(gathered[:, 3:], 0.0, 1.0)
    radiance = lit_skin(studio, person.material.albedo, normals, around, visible, person.softness)
    radiance = radiance + person.material.in_mouth[:, None] * person.material.albedo * _BOUNCE
    gloss, sharpness = person.material.gloss[:, None], person.material.sharpness[:, None]
    return np.concatenate([radiance, normals, gloss, sharpness, visible[:, :1]], axis=-1)


def _hair_attributes(
    person: Person, caster: Caster, strands: Strands, points: np.ndarray, tangent: np.ndarray, center: np.ndarray
) -> np.ndarray:
    """Compute light once per strand point; all vertices of its ribbons share it."""
    middle = points.reshape(-1, 4, 3).mean(axis=1)
    flat_tangent = tangent.reshape(-1, 3)
    outward = middle - center
    outward -= (outward * flat_tangent).sum(-1, keepdims=True) * flat_tangent
    outward /= np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-9)
    num, along = strands.width.shape
    lit, spread = _lit_points(along, strands.lit_at)
    chosen = (np.arange(num)[:, None] * along + lit).ravel()
    lifted = middle[chosen] + 8e-4 * outward[chosen]
    around = ambient(caster, person.studio, lifted, outward[chosen], person.quality.hair_rays)
    visible = visibility(caster, person.studio, lifted, outward[chosen], max(2, person.quality.hair_rays // 3))
    if strands.lit_at is not None:
        around, visible = (
            np.einsum("pl,nlk->npk", spread, values.reshape(num, len(lit), -1)).reshape(len(middle), -1)
            for values in (around, visible)
        )
    radiance = lit_hair(person.studio, strands.color.reshape(-1, 3), flat_tangent, outward, around, visible)
    rest = np.broadcast_to([0.35, 22.0], (len(middle), 2))
    each = np.concatenate([radiance, flat_tangent, rest, visible[:, :1]], axis=-1)
    return np.repeat(each, 4, axis=0)


def _lit_points(
    num_points: int, lit_at: int | None
) -> tuple[Int[np.ndarray, "lit"], Float[np.ndarray, "num_points lit"]]:
    """Return the points of a strand at which light is computed, and weights of these for every point."""
    num = num_points if lit_at is None else lit_at
    lit = np.round(np.linspace(0, num_points - 1, num)).astype(int)
    return lit, np.stack([np.interp(np.arange(num_points), lit, row) for row in np.eye(num)], axis=-1)


def render(scene: Scene, camera: StudioCamera, person: Person, gain: float = 1.0) -> Float[np.ndarray, "h w 4"]:
    """Render a picture on white (sRGB) and its foreground mask, 0..1, mean of `supersampling`^2 rays per pixel.

    Args:
        scene: The person at one moment.
        camera: Camera to render for.
        person: The person.
        gain: Exposure: factor on the linear light that the person sends. The background stays white.
    """
    factor = person.quality.supersampling
    pixels = camera.project(scene.vertices)
    columns = np.ascontiguousarray(pixels.T)  # six times as fast as minima over rows
    low = np.clip(np.floor(columns.min(axis=1)).astype(int) - 1, 0, [camera.width, camera.height])
    high = np.clip(np.ceil(columns.max(axis=1)).astype(int) + 1, low, [camera.width, camera.height])
    color = np.ones((camera.height, camera.width, 3))
    alpha = np.zeros((camera.height, camera.width))
    num_columns, num_rows = high - low
    if num_columns and num_rows:
        column, row = np.meshgrid(np.arange(num_columns * factor), np.arange(num_rows * factor))
        # Each ray of a pixel has its own column and row: strands of hair are often nearly upright, and a regular grid
        # would hit a thin strand with all rays of a column or with none.
        origins, directions = camera.rays(
            low[0] + (column + (row % factor + 0.5) / factor) / factor,
            low[1] + (row + (column % factor + 0.5) / factor) / factor,
        )
        samples, hit = _shade(scene, person, origins, directions, gain)
        shape = (num_rows, factor, num_columns, factor)
        window = np.s_[low[1] : high[1], low[0] : high[0]]
        color[window] = samples.reshape(*shape, 3).mean(axis=(1, 3))
        alpha[window] = hit.reshape(shape).mean(axis=(1, 3))
    return np.clip(np.concatenate([color, alpha[..., None]], axis=-1), 0.0, 1.0)


def _shade(
    scene: Scene, person: Person, origins: np.ndarray, directions: np.ndarray, gain: float
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n"]]:
    """Return the sRGB colours of rays (white without a hit) and whether each ray hits something."""
    triangle, uv, facing = scene.caster.first_hit(origins, directions)
    hit = np.flatnonzero(triangle >= 0)
    triangle, uv = triangle[hit], uv[hit]
    view = -directions[hit].astype(np.float32)
    weight = np.stack([1.0 - uv.sum(axis=-1), uv[:, 0], uv[:, 1]], axis=-1).astype(np.float32)
    corner = scene.triangles[triangle]
    value = np.zeros((len(hit), scene.attributes.shape[1]), dtype=np.float32)
    for k in range(3):
        value += weight[:, k : k + 1] * scene.attributes[corner[:, k]]
    radiance, axis = value[:, :3], value[:, 3:6]
    axis = axis / np.sqrt(np.maximum(_dot(axis, axis), 1e-18))[:, None]
    is_hair = scene.kind[triangle] == _HAIR
    radiance = radiance + _highlights(person.studio, axis, view, value, is_hair)
    inner = ~is_hair & ~facing[hit]
    radiance[inner] = _INSIDE
    color = np.ones((len(directions), 3), dtype=np.float32)
    color[hit] = _to_srgb(gain * radiance)
    return color, (np.bincount(hit, minlength=len(directions)) > 0).astype(np.float64)


def _dot(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    return np.einsum("ni,ni->n", a, b)


def _highlights(
    studio: Studio, axis: np.ndarray, view: np.ndarray, value: np.ndarray, is_hair: np.ndarray
) -> Float[np.ndarray, "n 3"]:
    """Compute highlights: Blinn-Phong on skin and eyes, Kajiya-Kay along hair; only the first light has shadows."""
    gloss, sharpness, shadow = value[:, 6], value[:, 7], value[:, 8]
    total = np.zeros((len(view), 3), dtype=np.float32)
    grazing = (1.0 - np.clip(_dot(axis, view), 0.0, 1.0)) ** 5
    for index, light in enumerate(studio.lights[:3]):
        half = view + light.direction.astype(np.float32)
        across = _dot(axis, half) / np.sqrt(_dot(half, half))
        base = np.where(is_hair, np.sqrt(np.clip(1.0 - across**2, 0.0, 1.0)), np.clip(across, 0.0, 1.0))
        shine = np.where(is_hair, 0.10, 0.85 + 1.6 * grazing) * gloss * base**sharpness
        shine *= shadow if index == 0 else 0.5
        above = np.where(is_hair, 1.0, np.clip(4.0 * (axis @ light.direction.astype(np.float32)), 0.0, 1.0))
        total += (shine * above)[:, None] * np.asarray(light.color, dtype=np.float32)
    return total


def _to_srgb(linear: np.ndarray) -> np.ndarray:
    """Convert linear light to display values, with a soft shoulder above 0.8."""
    bright = np.maximum(linear - 0.8, 0.0)
    linear = np.clip(np.minimum(linear, 0.8) + 0.2 * (1.0 - np.exp(-bright / 0.2)), 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-8) ** (1 / 2.4) - 0.055)
