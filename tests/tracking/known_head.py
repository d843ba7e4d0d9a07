"""Heads whose landmarks are known: an embedding of random points on the face, and a detector that projects them."""

from __future__ import annotations

import torch
from torch import Tensor

from sage_ns.geometry.mesh_queries import uniform_barycentric
from sage_ns.rig import HeadModel
from sage_ns.tracking.embedding import Embedding, landmark_parts
from sage_ns.tracking.face import NUM_POINTS, Face
from sage_ns.tracking.landmark_rig import LandmarkRig, View

SIZE = (600, 800)
FOCAL = 1300.0


def random_embedding(model: HeadModel, seed: int = 0) -> Embedding:
    """Landmarks spread over the front of the face, and on the front of each eyeball."""
    generator = torch.Generator().manual_seed(seed)
    normals = model.v_template[model.triangles]
    centers = normals.mean(dim=1)
    facing = torch.linalg.cross(normals[:, 1] - normals[:, 0], normals[:, 2] - normals[:, 0])
    front = facing[:, 2] / facing.norm(dim=-1) > 0.3
    face = model.regions.triangle_mask("face", model.triangles)
    triangle = torch.empty(NUM_POINTS, dtype=torch.int64)
    for landmarks, part in landmark_parts(model):
        rows = (part & front & (face if landmarks.start == 0 else centers[:, 2] > -1)).nonzero()[:, 0]
        count = landmarks.stop - landmarks.start
        triangle[landmarks] = rows[torch.randint(len(rows), (count,), generator=generator)]
    return Embedding(
        triangle, uniform_barycentric(NUM_POINTS, generator), torch.ones(NUM_POINTS), torch.zeros(NUM_POINTS, 3, 2)
    )


def seen_head(rig: LandmarkRig, seed: int, turn: float = 0.2) -> Tensor:
    """Unknowns of a random person half a metre away, turned by up to `turn` radians."""
    generator = torch.Generator().manual_seed(seed)
    x = rig.start(FOCAL)
    part = rig.unknowns

    def draw(size: int, scale: float) -> Tensor:
        return scale * torch.randn(size, generator=generator).double().clamp(-2, 2)

    x[part.shape] = draw(part.num_shape, 0.7)
    x[part.expression] = draw(part.num_expression, 0.15)
    x[part.jaw.start] = 0.1
    x[part.rotation] = turn * (2 * torch.rand(3, generator=generator).double() - 1)
    x[part.eyes] = torch.tensor([0.05, 0.2, 0.0]).double().repeat(2)
    x[part.translation] = torch.tensor([0.02, -0.01, -0.6]).double()
    return x


def face_of(pixels: Tensor, depth: Tensor, confidence: float = 0.99) -> Face:
    low, high = pixels.amin(dim=0), pixels.amax(dim=0)
    points = torch.cat([pixels, depth[:, None]], dim=1).float()
    return Face(points, confidence, {}, (float(low[0]), float(low[1]), float(high[0]), float(high[1])))


def face_seen(rig: LandmarkRig, x: Tensor, noise: float = 0.0, seed: int = 0, view: View | None = None) -> Face:
    """What a perfect detector returns of a head, with noise in pixels."""
    view = view or View.at_origin((SIZE[0] / 2, SIZE[1] / 2))
    points = (rig.points(x, view) - view.place) @ view.axes.T
    scale = x[rig.unknowns.focal].exp() * view.focal.mean() / -points[:, 2].mean()
    generator = torch.Generator().manual_seed(seed)
    pixels = rig.pixels(x, view)
    return face_of(
        pixels + noise * torch.randn(pixels.shape, generator=generator).double(),
        -(points[:, 2] - points[:, 2].mean()) * scale,
    )
