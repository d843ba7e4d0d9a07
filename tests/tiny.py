"""A head small enough to check by hand: 42 skin vertices around an ellipsoid, open at the neck, and two eyeballs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sage_ns.rig import FlameParams, HeadModel, Regions

_GOLDEN = (1 + 5**0.5) / 2
_EYE_CENTERS = ((0.03, 0.03, 0.088), (-0.03, 0.03, 0.088))


def tiny_head_model(num_shape: int = 300, num_expression: int = 10, seed: int = 0) -> HeadModel:
    """54 vertices and 90 triangles; all of FLAME's joints and the regions face, scalp, neck, lips, boundary, eyeballs.

    Metres, y up, looks along +z. Only the first 8 identity directions are not zero.
    """
    generator = torch.Generator().manual_seed(seed)
    skin, skin_triangles = _icosphere()
    skin = skin * torch.tensor([0.08, 0.11, 0.09])
    lowest = skin[:, 1].argmin()
    skin_triangles = skin_triangles[(skin_triangles != lowest).all(dim=-1)]
    eye, eye_triangles = _octahedron(0.012)
    vertices = torch.cat([skin, *(eye + torch.tensor(center) for center in _EYE_CENTERS)])
    triangles = torch.cat([skin_triangles, eye_triangles + len(skin), eye_triangles + len(skin) + len(eye)])
    eyeballs = torch.arange(len(skin), len(vertices)).split(len(eye))

    y, z = skin[:, 1], skin[:, 2]
    regions = {
        "face": (z > 0.02) & (y > -0.07),
        "scalp": (z <= 0.02) & (y > -0.03),
        "neck": (y < -0.07) | ((z <= 0.02) & (y <= -0.03)),
        "lips": (z > 0.03) & (y > -0.08) & (y < 0.02),
        "boundary": y < -0.09,
    }
    jaw_weight = 0.9 * ((z > 0.03) & (y < -0.03) & (y > -0.08)).float()
    root_weight = (1 - jaw_weight) * (y < -0.08).float()
    weights = torch.zeros(len(vertices), 5)
    weights[: len(skin), 0] = root_weight
    weights[: len(skin), 1] = 1 - jaw_weight - root_weight
    weights[: len(skin), 2] = jaw_weight
    weights[eyeballs[0], 3] = 1
    weights[eyeballs[1], 4] = 1
    regressor = torch.zeros(5, len(vertices))
    for joint, mask in enumerate([y < -0.08, y < -0.05, (z.abs() < 0.05) & (y < 0.02)]):
        regressor[joint, : len(skin)] = mask / mask.sum()
    for joint, eyeball in enumerate(eyeballs, start=3):
        regressor[joint, eyeball] = 1 / len(eyeball)

    def smooth_basis(count: int, used: int) -> Tensor:
        basis = torch.zeros(len(vertices), 3, count)
        mix = torch.randn(3, 3, used, generator=generator) * 0.05
        basis[..., :used] = torch.einsum("vc,cdk->vdk", vertices, mix)
        return basis

    return HeadModel(
        name="tiny",
        v_template=vertices,
        triangles=triangles,
        shape_basis=smooth_basis(num_shape, min(8, num_shape)),
        expression_basis=smooth_basis(num_expression, num_expression),
        pose_basis=torch.randn(36, len(vertices) * 3, generator=generator) * 5e-4,
        joint_regressor=regressor,
        skinning_weights=weights,
        parents=torch.tensor([-1, 0, 1, 1, 1]),
        regions=Regions(
            {name: mask.nonzero().flatten() for name, mask in regions.items()}
            | {"left_eyeball": eyeballs[0], "right_eyeball": eyeballs[1]}
        ),
    )


def tiny_params(model: HeadModel, num_timesteps: int = 3, seed: int = 0, size: float = 0.2) -> FlameParams:
    """Random identity and motion for any head model; `size` scales angles (radians) and coefficients."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return size * torch.randn(*shape, generator=generator)

    return FlameParams(
        shape=random(model.num_shape),
        expr=random(num_timesteps, model.num_expression),
        rotation=random(num_timesteps, 3),
        neck_pose=random(num_timesteps, 3),
        jaw_pose=random(num_timesteps, 3),
        eyes_pose=random(num_timesteps, 6),
        translation=0.1 * random(num_timesteps, 3),
        static_offset=0.01 * random(model.num_vertices, 3),
    )


def blown_up(model: HeadModel, num_vertices: int) -> HeadModel:
    """The model with vertices added that no triangle uses and that hang at the root."""
    more = num_vertices - model.num_vertices

    def padded(per_vertex: Tensor) -> Tensor:
        return torch.cat([per_vertex, per_vertex.new_zeros(more, *per_vertex.shape[1:])])

    names = ("v_template", "shape_basis", "expression_basis")
    at_root = torch.eye(5)[:1].expand(more, 5)
    return replace(
        model,
        skinning_weights=torch.cat([model.skinning_weights, at_root]),
        pose_basis=torch.zeros(36, 3 * num_vertices),
        joint_regressor=padded(model.joint_regressor.T).T,
        **{name: padded(getattr(model, name)) for name in names},
    )


def _icosphere() -> tuple[Tensor, Tensor]:
    """Unit icosahedron, subdivided once; triangles counter-clockwise seen from outside."""
    corners = [(s * 1.0, t * _GOLDEN, 0.0) for s in (1, -1) for t in (1, -1)]
    vertices = torch.tensor([(c[-k:] + c[:-k]) if k else c for k in range(3) for c in corners])
    triples = torch.combinations(torch.arange(12), 3)
    sides = (vertices[triples] - vertices[triples].roll(1, dims=1)).norm(dim=-1)
    triangles = triples[(sides < 2.01).all(dim=-1)]
    midpoints: dict[tuple[int, int], int] = {}
    points = [tuple(p) for p in vertices.tolist()]

    def middle(a: int, b: int) -> int:
        key = (min(a, b), max(a, b))
        if key not in midpoints:
            midpoints[key] = len(points)
            points.append(tuple((p + q) / 2 for p, q in zip(points[a], points[b], strict=True)))
        return midpoints[key]

    small = []
    for a, b, c in triangles.tolist():
        ab, bc, ca = middle(a, b), middle(b, c), middle(c, a)
        small += [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
    vertices = torch.nn.functional.normalize(torch.tensor(points), dim=-1)
    return vertices, _outward(vertices, torch.tensor(small))


def _octahedron(radius: float) -> tuple[Tensor, Tensor]:
    vertices = radius * torch.cat([torch.eye(3), -torch.eye(3)])
    triangles = torch.tensor([(i, j, k) for i in (0, 3) for j in (1, 4) for k in (2, 5)])
    return vertices, _outward(vertices, triangles)


def _outward(vertices: Tensor, triangles: Tensor) -> Tensor:
    v0, v1, v2 = vertices[triangles].unbind(1)
    inward = (torch.linalg.cross(v1 - v0, v2 - v0) * (v0 + v1 + v2)).sum(-1) < 0
    return torch.where(inward[:, None], triangles[:, [0, 2, 1]], triangles)
