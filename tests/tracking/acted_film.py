"""An actor whose motion is known: landmarks of a posed head, a detector that returns them in order, a short film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.face import Face
from sage_ns.tracking.film_faces import FilmFaces
from tests.tracking.known_head import face_of

SIZE, FOCAL, DISTANCE = (600, 800), 900.0, 0.7


def moments(model: HeadModel, count: int, seed: int = 1) -> FlameParams:
    """A person at rest before the camera, `count` times; the caller moves the rows."""
    generator = torch.Generator().manual_seed(seed)
    rest = FlameParams.neutral(model)
    rest.shape[:6] = 0.7 * torch.randn(6, generator=generator)
    rest.translation[0] = torch.tensor([0.02, -0.01, -DISTANCE])
    rows = {name: value.repeat(count, 1) for name, value in vars(rest).items() if value is not None and name != "shape"}
    return replace(rest, **rows)


def landmarks(model: HeadModel, embedding: Embedding, params: FlameParams) -> list[Tensor]:
    """x and y in pixels and the relative depth of each moment's landmarks, without slides."""
    seen = []
    for vertices in pose_vertices(model, params):
        points = embedding.points(vertices, model.triangles).double()
        depth = -points[:, 2:]
        pixels = torch.tensor(SIZE).double() / 2 + FOCAL * points[:, :2] * torch.tensor([1.0, -1.0]) / depth
        seen.append(torch.cat([pixels, (depth - depth.mean()) * FOCAL / depth.mean()], dim=1))
    return seen


def faces(seen: Sequence[Tensor], noise: float = 0.3) -> list[Face]:
    """What a detector makes of landmarks, with noise in pixels."""
    found = []
    for seed, points in enumerate(seen):
        generator = torch.Generator().manual_seed(seed)
        found.append(face_of(points[:, :2] + noise * torch.randn(478, 2, generator=generator).double(), points[:, 2]))
    return found


def film(found: Sequence[Face | None], fps: float = 10.0) -> FilmFaces:
    """Faces as those of a film."""
    points = torch.stack([torch.zeros(478, 3) if face is None else face.points for face in found])
    return FilmFaces(points, torch.tensor([0.0 if face is None else 0.9 for face in found]), SIZE, fps)


class Script:
    """A detector that returns given faces, one per picture."""

    def __init__(self, found: Sequence[Face | None]) -> None:
        self.found, self.calls = list(found), 0

    def __call__(self, picture: object) -> list[Face]:
        raise AssertionError("films are followed")

    def follow(self, picture: object, last: Face | None) -> Face | None:
        self.calls += 1
        return self.found[(self.calls - 1) % len(self.found)]
