"""Learn where a detector's landmarks lie on a head model: draw people, detect, and find the places that agree.

    python -m sage_ns.tracking.learn_embedding OUT.npz [--head-model FILE] [--pictures 60]

Painted people of the head model (`sage_ns.synthetic.painted`) are drawn from many sides, and a detector finds their
landmarks. A landmark's place is the point of the surface whose projections into all pictures lie nearest to where the
detector has found it. What then remains and depends on the direction of view becomes the landmark's slide; what remains
after that, its weight. `embedding.npz` of this package was made by this command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.errors import TrackingError
from sage_ns.geometry.mesh_queries import barycentric_to_points
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import project
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.synthetic.painted import PaintedHead
from sage_ns.tracking.embedding import Embedding, landmark_parts
from sage_ns.tracking.face import NUM_POINTS, FaceDetector

PICTURE, FOCAL, DISTANCE = 256, 620.0, 0.75
"""Pixels, pixels and metres of the drawn people: their faces are some 130 px wide."""
FARTHEST = (0.8, 0.4)
"""Radians that heads are turned aside, and up or down, at most."""
NUM_DRAWN_SHAPE = 12
"""First directions of identity and of expression in which drawn people differ."""
_SEEN_SHARE = 0.1
"""Share of the pictures in which a point of the surface must be visible to be a candidate."""
_FINE = 6
"""Candidates along each side of a triangle, in the second search."""
_CLIP = 0.006
"""Metres: errors count up to here, so that pictures in which the detector failed do not matter."""
_RIDGE = 4.0
"""Keeps slides small that few pictures determine."""
_LEAST_ERROR = 4e-4
"""Metres: no landmark is trusted more than this."""


@dataclass(frozen=True, eq=False)
class Sighting:
    """One drawn person and the landmarks that the detector has found."""

    vertices: Float[Tensor, "num_vertices 3"]
    """Metres, posed."""
    rotation: Float[Tensor, "3 3"]
    """Of the head."""
    camera: PinholeCamera
    landmarks: Float[Tensor, "478 2"]
    """Pixels."""

    def pixels(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2"]:
        """Return points [metres] in the picture."""
        return project(points, self.camera).pixels

    @property
    def metres_per_pixel(self) -> float:
        """At the depth of the head."""
        depth = project(self.vertices.mean(dim=0)[None], self.camera).depth
        return float(depth / self.camera.intrinsics[0, 0])

    @property
    def direction(self) -> Float[Tensor, "3"]:
        """Unit vector from the head to the camera in the head's axes."""
        away = self.camera.center - self.vertices.mean(dim=0)
        return (away / away.norm()) @ self.rotation


def sightings(
    model: HeadModel, detector: FaceDetector, num_pictures: int, progress: Callable[[int, int], None], seed: int = 0
) -> list[Sighting]:
    """Draw people of a head model, and return those whose face the detector has found.

    Args:
        model: mean head.
        detector: finds the landmarks.
        num_pictures: number of people, one picture of each.
        progress: called with (pictures done, pictures in total).
        seed: of the people.
    """
    painted, found = PaintedHead(model), []
    for number in range(num_pictures):
        params = _person(model, [seed, number])
        vertices = pose_vertices(model, params)[0]
        camera = _camera(vertices)
        picture, _ = painted.picture(vertices, camera, seed + number, background=0.25 + 0.5 * (number % 3) / 2)
        faces = detector(picture)
        if faces:
            rotation = axis_angle_to_matrix(params.rotation[0])
            found.append(Sighting(vertices, rotation, camera, faces[0].points[:, :2]))
        progress(number + 1, num_pictures)
    return found


def learn_embedding(model: HeadModel, seen: Sequence[Sighting]) -> Embedding:
    """Return the places of the landmarks on a head model, from sightings of people of this model.

    Raises:
        TrackingError: there are fewer than ten sightings.
    """
    seen = [each for each in seen if _is_of_this_head(each, model)]
    if len(seen) < 10:
        raise TrackingError(
            f"head model '{model.name}': the detector found {len(seen)} of the drawn faces; expected at least 10. Draw "
            "more pictures, and check that the model is a head in metres, y up, looking along +z."
        )
    triangle, barycentric = _places(model, seen)
    points = torch.stack([barycentric_to_points(s.vertices, model.triangles, triangle, barycentric) for s in seen])
    slide = _slides(seen, points)
    errors = torch.stack([_errors(s, p + _slid(s, slide)) for s, p in zip(seen, points, strict=True)])
    spread = errors.clamp_max(_CLIP).square().mean(dim=0).sqrt().clamp_min(_LEAST_ERROR)
    # Not the inverse square: errors of neighbouring landmarks agree, and few exact ones must not outvote all others.
    weight = 1 / spread
    return Embedding(triangle, barycentric, weight / weight.mean(), slide)


def _person(model: HeadModel, seed: Sequence[int]) -> FlameParams:
    """Draw identity, expression, jaw, gaze and turn of a person."""
    generator = torch.Generator().manual_seed(1000 * seed[0] + seed[1])

    def normal(size: int, scale: float) -> Tensor:
        return scale * torch.randn(size, generator=generator).clamp(-2, 2)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand(1, generator=generator))

    neutral = FlameParams.neutral(model)
    gaze = torch.tensor([uniform(-0.15, 0.15), uniform(-0.35, 0.35), 0.0])
    turn = [uniform(-FARTHEST[1], FARTHEST[1]), uniform(-FARTHEST[0], FARTHEST[0]), uniform(-0.2, 0.2)]
    jaw = max(0.0, uniform(-0.15, 0.3))
    first = NUM_DRAWN_SHAPE
    shape, expr = neutral.shape.clone(), neutral.expr.clone()
    shape[:first] = normal(min(first, len(shape)), 0.6)
    expr[0, :first] = normal(min(first, expr.shape[1]), 0.25)
    return FlameParams(
        shape=shape,
        expr=expr,
        rotation=torch.tensor([turn]),
        neck_pose=neutral.neck_pose,
        jaw_pose=torch.tensor([[jaw, 0.0, 0.0]]),
        eyes_pose=gaze.repeat(2)[None],
        translation=neutral.translation,
    )


def _camera(vertices: Float[Tensor, "num_vertices 3"]) -> PinholeCamera:
    """Return a camera in front of the head that looks along -z."""
    low, high = vertices.amin(dim=0), vertices.amax(dim=0)
    pose = torch.eye(4)
    pose[:3, 3] = torch.stack([0.5 * (low[0] + high[0]), high[1] - 0.45 * 0.3, high[2] + DISTANCE])
    middle = PICTURE / 2
    return PinholeCamera.from_opengl(pose, FOCAL, FOCAL, middle, middle, PICTURE, PICTURE)


def _is_of_this_head(sighting: Sighting, model: HeadModel) -> bool:
    """Return whether a detection lies about where the drawn head is."""
    pixels = sighting.pixels(sighting.vertices)
    low, high = pixels.amin(dim=0), pixels.amax(dim=0)
    inside = (sighting.landmarks > low) & (sighting.landmarks < high)
    return bool(inside.all(dim=1).float().mean() > 0.9)


def _places(model: HeadModel, seen: Sequence[Sighting]) -> tuple[Int[Tensor, "478"], Float[Tensor, "478 3"]]:
    """Return the points whose projections agree best: first among the vertices, then on the triangles around them."""
    corners, views = model.triangles, _Views(seen)
    candidates = _often_seen(model, seen)
    triangle = torch.zeros(NUM_POINTS, dtype=torch.int64)
    barycentric = torch.full((NUM_POINTS, 3), 1 / 3)
    steps = torch.arange(_FINE + 1) / _FINE
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1).reshape(-1, 2)
    grid = grid[grid.sum(dim=1) <= 1 + 1e-6]
    grid = torch.cat([grid, 1 - grid.sum(dim=1, keepdim=True)], dim=1)
    for landmarks, part in landmark_parts(model):
        own = torch.zeros(model.num_vertices, dtype=torch.bool)
        own[corners[part].flatten()] = True
        rows = (candidates & own).nonzero()[:, 0]
        for number in range(landmarks.start, landmarks.stop):
            nearest = rows[views.costs(views.vertices[:, rows], number).argmin()]
            around = (corners == nearest).any(dim=1) & part
            around = (torch.isin(corners, corners[around]).any(dim=1) & part).nonzero()[:, 0]
            which, weights = around.repeat_interleave(len(grid)), grid.repeat(len(around), 1)
            chosen = views.costs(barycentric_to_points(views.vertices, corners, which, weights), number).argmin()
            triangle[number], barycentric[number] = which[chosen], weights[chosen]
    return triangle, barycentric


class _Views:
    """All sightings at once, for searches. Projection of points between vertices: mix, then divide by the depth."""

    def __init__(self, seen: Sequence[Sighting]) -> None:
        cameras = [sighting.camera for sighting in seen]
        to_pixels = torch.stack([camera.intrinsics @ camera.T_camera_world[:3] for camera in cameras])
        vertices = torch.stack([sighting.vertices for sighting in seen])
        self.vertices = vertices @ to_pixels[:, :, :3].mT + to_pixels[:, None, :, 3]
        """Homogeneous pixels of the rigs' vertices, [num_sightings, num_vertices, 3]."""
        self._landmarks = torch.stack([sighting.landmarks for sighting in seen])
        self._scale = torch.tensor([sighting.metres_per_pixel for sighting in seen])[:, None]
        self._frontal = torch.stack([sighting.direction[2] for sighting in seen]).clamp_min(0.1)[:, None]

    def costs(self, points: Float[Tensor, "num_sightings n 3"], number: int) -> Float[Tensor, "n"]:
        """Return the clipped distances [metres at the head's depth] of points from a landmark, over all pictures.

        Pictures from the front count for more.
        """
        pixels = points[..., :2] / points[..., 2:]
        distance = (pixels - self._landmarks[:, None, number]).norm(dim=-1) * self._scale
        return (distance.clamp_max(_CLIP) * self._frontal).sum(dim=0)


def _often_seen(model: HeadModel, seen: Sequence[Sighting]) -> Bool[Tensor, "num_vertices"]:
    """Return the vertices that no part of the head hides in at least some of the pictures."""
    count = torch.zeros(model.num_vertices)
    mesh = TriangleMesh(seen[0].vertices, model.triangles)
    for sighting in seen:
        mesh.move(sighting.vertices)
        way = sighting.camera.center - sighting.vertices
        start = sighting.vertices + 1e-3 * way / way.norm(dim=1, keepdim=True)
        count += ~mesh.is_blocked(start, sighting.camera.center - start)
    return count >= _SEEN_SHARE * len(seen)


def _slid(sighting: Sighting, slide: Float[Tensor, "478 3 2"]) -> Float[Tensor, "478 3"]:
    return (slide @ sighting.direction[:2]) @ sighting.rotation.T


def _errors(sighting: Sighting, points: Float[Tensor, "478 3"]) -> Float[Tensor, "478"]:
    return (sighting.pixels(points) - sighting.landmarks).norm(dim=1) * sighting.metres_per_pixel


def _slides(seen: Sequence[Sighting], points: Float[Tensor, "s 478 3"]) -> Float[Tensor, "478 3 2"]:
    """Return the slides that explain most of what the places leave: ridge regression with clipped errors.

    In the picture, a slide M moves a landmark by ``A R M d``: A are the first two rows of the camera's axes (the
    perspective within a few millimetres is left out), R is the head's rotation, d the direction to the camera.
    """
    system = torch.zeros(NUM_POINTS, 6, 6)
    goal = torch.zeros(NUM_POINTS, 6)
    for sighting, at in zip(seen, points, strict=True):
        scale = sighting.metres_per_pixel
        left = (sighting.landmarks - sighting.pixels(at)) * scale
        axes = sighting.camera.T_camera_world[:2, :3] @ sighting.rotation
        row = (axes[:, :, None] * sighting.direction[:2]).reshape(2, 6)
        weight = (_CLIP / left.norm(dim=1).clamp_min(_CLIP)) ** 2
        system += weight[:, None, None] * (row.T @ row)
        goal += weight[:, None] * (left @ row)
    system += _RIDGE * torch.eye(6)
    return torch.linalg.solve(system, goal).reshape(NUM_POINTS, 3, 2)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``python -m sage_ns.tracking.learn_embedding``."""
    import argparse
    from pathlib import Path

    from sage_ns.rig import load_head_model
    from sage_ns.synthetic.head import builtin_head
    from sage_ns.system.progress import progress_bar
    from sage_ns.tracking.face_landmarker import load_face_landmarker

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="npz file to write")
    parser.add_argument("--head-model", type=Path, help="head model file; default: the built-in head")
    parser.add_argument("--pictures", type=int, default=60, help="number of people to draw")
    given = parser.parse_args(arguments)
    model = builtin_head() if given.head_model is None else load_head_model(given.head_model)
    with progress_bar("drawing people") as bar:
        seen = sightings(model, load_face_landmarker(), given.pictures, bar)
    learn_embedding(model, seen).save(given.out)


if __name__ == "__main__":
    main()
