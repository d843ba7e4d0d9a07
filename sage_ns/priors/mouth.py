"""Learn the mouth prior: surfels on the mouth's mesh, fitted to pictures of synthetic people's open mouths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.mouth import MouthPrior, around_mouth, part_shade, prior_of
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.geometry.mesh_queries import barycentric_to_points, sample_triangles
from sage_ns.geometry.rotations import quaternion_multiply
from sage_ns.geometry.spherical_harmonics import C0
from sage_ns.geometry.triangles import TriangleFrames, triangle_areas, triangle_frames
from sage_ns.raster import rasterize
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.rig.mouth import mouth_model
from sage_ns.rig.mouth_shape import PARTS
from sage_ns.synthetic.head import builtin_head
from sage_ns.synthetic.open_mouths import MouthPicture, MouthSitter, film_mouth
from sage_ns.system.progress import tracked

_OPENINGS = (0.0, 0.08, 0.18, 0.35)
_DENSITY = {"upper_teeth": 4.0, "lower_teeth": 4.0, "upper_gums": 1.5, "lower_gums": 1.5, "tongue": 1.0, "cavity": 0.4}
"""Surfels per area, relative to the tongue's."""
_START = {
    "upper_teeth": (0.70, 0.67, 0.62), "lower_teeth": (0.70, 0.67, 0.62), "upper_gums": (0.45, 0.28, 0.27),
    "lower_gums": (0.45, 0.28, 0.27), "tongue": (0.45, 0.25, 0.24), "cavity": (0.16, 0.06, 0.05),
}  # fmt: skip
"""Initial colours (sRGB); surfels that no picture shows keep them."""
_RATES = {
    "means": 2e-3, "quaternions": 2e-3, "log_scales": 5e-3, "opacity_logits": 2e-2, "sh_dc": 1e-2, "sh_rest": 1e-3,
}  # fmt: skip
_LIGHT_RATE = 3e-3
_FINAL_RATE = 0.05
"""Learning rates at the last step, relative to the first."""
# A triangle frame's y axis is its normal, a surfel's normal is its z axis: turn z onto y.
_NORMAL_TO_Y = (0.7071067811865476, -0.7071067811865476, 0.0, 0.0)
_COVERAGE_WEIGHT = 0.3
"""Weight of the share of light that passes between the surfels, inside the mouth."""
_ANCHOR_WEIGHT = 1e-3
"""Weight of the surfels' mean square distance from their initial places, in triangle scales: keeps them on the mesh."""


@dataclass(frozen=True)
class _Moment:
    picture: MouthPicture
    model: HeadModel
    vertices: Float[Tensor, "num_vertices 3"]
    frames: TriangleFrames


def mouth_prior_of_synthetic_people(
    people: Sequence[int],
    num_cameras: int = 5,
    size: int = 128,
    num_surfels: int = 3500,
    num_steps: int = 1500,
    seed: int = 0,
) -> MouthPrior:
    """Render synthetic people with open mouths, and learn the mouth prior from the pictures.

    Args:
        people: Seeds of the people; a synthetic capture with the same seed shows the same person.
        num_cameras: Cameras per person and pose.
        size: Width and height of the pictures in pixels.
        num_surfels, num_steps, seed: See `learn_mouth_prior`.
    """
    around = around_mouth(builtin_head())
    with tracked(people, "Rendering open mouths") as shown:
        sitters = [film_mouth(person, size, num_cameras, around) for person in shown]
    return learn_mouth_prior(sitters, num_surfels, num_steps, seed)


def learn_mouth_prior(
    sitters: Sequence[MouthSitter],
    num_surfels: int = 3500,
    num_steps: int = 1500,
    seed: int = 0,
) -> MouthPrior:
    """Fit surfels, and their shade at each opening of the lips, to pictures of open mouths.

    Only pixels that show nothing but the inside of the mouth count. The loss is the mean absolute colour difference
    there, with penalties on light that passes between the surfels and on their distance from their initial places.

    Args:
        sitters: Synthetic people with their pictures.
        num_surfels: Number of surfels on the mesh; they are denser on the teeth than on the walls.
        num_steps: Optimiser steps, one picture each.
        seed: Seed of the surfels' places and of the order of the pictures.
    """
    generator = torch.Generator().manual_seed(seed)
    moments = [moment for sitter in sitters for moment in _moments(sitter)]
    first = moments[0].model
    surfels = _scattered(first, num_surfels, generator)
    openings = torch.tensor(_OPENINGS)
    log_shade = torch.zeros(len(PARTS), len(_OPENINGS), requires_grad=True)
    groups = [{"params": [getattr(surfels, name)], "lr": rate} for name, rate in _RATES.items()]
    optimizer = torch.optim.Adam([*groups, {"params": [log_shade], "lr": _LIGHT_RATE}], eps=1e-15)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, _FINAL_RATE ** (1.0 / num_steps))
    start = surfels.means.detach().clone()
    with tracked(range(num_steps), "Learning the mouth") as shown:
        for _ in shown:
            moment = moments[int(torch.randint(len(moments), (1,), generator=generator))]
            shade = part_shade(moment.model, moment.vertices, openings, _relative(log_shade))
            placed = surfels.place(moment.frames, moment.picture.camera.center, shade[:, None])
            buffers = rasterize(placed, moment.picture.camera)
            inside = moment.picture.inside
            error = (buffers.color - moment.picture.image).abs()[inside].mean()
            uncovered, drift = (1.0 - buffers.alpha[inside]).mean(), (surfels.means - start).square().mean()
            loss = error + _COVERAGE_WEIGHT * uncovered + _ANCHOR_WEIGHT * drift
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                surfels.log_scales.clamp_(max=0.0)
    skin = torch.stack([sitter.skin for sitter in sitters]).mean(dim=0)
    return prior_of(surfels, {"openings": openings, "shade": _relative(log_shade), "skin": skin})


def _relative(log_shade: Tensor) -> Tensor:
    """Shade relative to the widest opening; the surfels' colours hold the brightness at that opening."""
    return torch.exp(log_shade - log_shade[:, -1:])


def _moments(sitter: MouthSitter) -> list[_Moment]:
    model = mouth_model(sitter.head_model)
    rig = PersonalRig(model, FlameParams.neutral(model))
    moments = []
    for picture in sitter.pictures:
        with torch.no_grad():
            vertices = rig.vertices(picture.motion)
        moments.append(_Moment(picture, model, vertices, triangle_frames(vertices, model.triangles)))
    return moments


def _scattered(model: HeadModel, num_surfels: int, generator: torch.Generator) -> BoundSurfels:
    vertices, triangles = model.v_template, model.triangles
    frames = triangle_frames(vertices, triangles)
    masks = {name: model.regions.triangle_mask(name, triangles) for name in PARTS}
    density, colors = torch.zeros(len(triangles)), torch.zeros(len(triangles), 3)
    for name, mask in masks.items():
        density[mask], colors[mask] = _DENSITY[name], torch.tensor(_START[name])
    weights = triangle_areas(vertices, triangles) * density
    triangle = sample_triangles(weights, num_surfels, generator)
    barycentric = -torch.log(torch.rand(num_surfels, 3, generator=generator).clamp_min(1e-6))
    world = barycentric_to_points(vertices, triangles, triangle, barycentric / barycentric.sum(-1, keepdim=True))
    scale = frames.scale[triangle]
    local = torch.einsum("nji,nj->ni", frames.rotation[triangle], world - frames.origin[triangle]) / scale[:, None]
    spin = torch.rand(num_surfels, generator=generator) * torch.pi
    none = torch.zeros_like(spin)
    turned = torch.stack([spin.cos(), none, none, spin.sin()], dim=-1)
    spacing = (weights.sum() / num_surfels / density[triangle]).sqrt() / scale
    return BoundSurfels(
        triangle,
        local,
        quaternion_multiply(torch.tensor(_NORMAL_TO_Y).expand(num_surfels, 4), turned),
        (0.65 * spacing).clamp(0.05, 1.0).log()[:, None].repeat(1, 2),
        torch.full((num_surfels,), 2.0),
        ((colors[triangle] - 0.5) / C0)[:, None],
        torch.zeros(num_surfels, 3, 3),
    )
