"""Spots on a painted head, seen by known cameras, lie on its skin; a head that is off moves onto them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.raster.cameras import pixel_rays, project
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.tracking.cameras.rig_camera import RigCamera
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.joint_fit import JointFit, KnownCamera, Sighting
from sage_ns.tracking.skin_fit import FEWEST, fit_to_skin
from sage_ns.tracking.skin_points import Sight, skin_points
from tests.tiny import tiny_head_model
from tests.tracking.cameras.ring import FLIP, ring
from tests.tracking.known_head import face_of, random_embedding

SIZE = (240, 320)


@dataclass(frozen=True, eq=False)
class Painted:
    model: HeadModel
    embedding: Embedding
    params: FlameParams
    vertices: torch.Tensor
    cameras: list[RigCamera]
    sights: list[Sight]
    points: np.ndarray


def speckled(points: np.ndarray) -> np.ndarray:
    """A pattern in space of about 5 mm, 0..255."""
    rng = np.random.default_rng(0)
    waves = rng.normal(size=(40, 3)) * 900
    return 127 + 20 * np.sin(points @ waves.T + rng.uniform(0, 6, 40)).sum(axis=1) / 2


@pytest.fixture(scope="module")
def painted() -> Painted:
    model = tiny_head_model()
    neutral = FlameParams.neutral(model)
    shape = neutral.shape.clone()
    shape[:4] = torch.tensor([0.5, -0.4, 0.3, 0.2])
    params = replace(neutral, shape=shape)
    vertices = pose_vertices(model, params)[0]
    cameras = [
        replace(each, focal=(620.0, 620.0), center=(120.0, 160.0), size=SIZE) for each in ring(4, 0.7, (0.0, 0.0, 0.0))
    ]
    mesh = TriangleMesh(vertices, model.triangles)
    sights = []
    for camera in cameras:
        pinhole = camera.pinhole(SIZE)
        origins, directions = (each.reshape(-1, 3) for each in pixel_rays(pinhole))
        hits = mesh.first_hits(origins, directions)
        corners = mesh.vertices[mesh.triangles[hits.triangle.clamp_min(0)]]
        grey = speckled((corners * hits.barycentric[..., None]).sum(dim=1).double().numpy())
        grey = np.where((hits.triangle >= 0).numpy(), grey, 255).clip(0, 255).astype(np.uint8).reshape(SIZE[::-1])
        sights.append(Sight(np.repeat(grey[..., None], 3, axis=2), pinhole))
    embedding = random_embedding(model)
    return Painted(model, embedding, params, vertices, cameras, sights, skin_points(sights, vertices, model))


def distances(points: np.ndarray, vertices: torch.Tensor, model: HeadModel) -> np.ndarray:
    return TriangleMesh(vertices, model.triangles).closest(torch.from_numpy(points).float()).distance.numpy()


def test_spots_lie_on_the_skin(painted: Painted) -> None:
    assert len(painted.points) > FEWEST
    off = distances(painted.points, painted.vertices, painted.model)
    assert np.median(off) < 5e-4


def test_a_picture_without_spots_gives_no_points(painted: Painted) -> None:
    blank = [replace(sight, picture=np.full_like(sight.picture, 90)) for sight in painted.sights]
    assert skin_points(blank, painted.vertices, painted.model).shape == (0, 3)


def test_a_head_that_is_off_moves_onto_the_points(painted: Painted) -> None:
    model = painted.model
    wrong = replace(painted.params, shape=painted.params.shape + torch.tensor([0.3, 0.2, -0.3, 0.2] + [0.0] * 296))
    vertices = pose_vertices(model, wrong)[0]
    known = [KnownCamera(torch.from_numpy(np.linalg.inv(each.world_to_camera) @ FLIP), *each.focal, *each.center)
             for each in painted.cameras]  # fmt: skip
    places = painted.embedding.points(vertices, model.triangles)
    seen = [project(places, each.pinhole(SIZE)) for each in painted.cameras]
    sightings = [Sighting(0, row, face_of(each.pixels, each.depth)) for row, each in enumerate(seen)]
    pixels = torch.stack([each.pixels for each in seen])
    fit = JointFit(wrong, 1.0, pixels, torch.zeros(4, 478), torch.full((4,), 180.0), torch.zeros(4))
    moved = fit_to_skin(fit, painted.points, sightings, known, model, painted.embedding, 0.5)
    before, after = (
        np.median(distances(painted.points, pose_vertices(model, each.params)[0], model)) for each in (fit, moved)
    )
    assert after < 0.5 * before
    assert moved.errors.mean() > 0
    assert fit_to_skin(fit, painted.points[: FEWEST - 1], sightings, known, model, painted.embedding, 0.5) is fit
