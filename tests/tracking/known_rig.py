"""A tiny head before a ring of cameras, its pictures, and networks that know where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sage_ns.raster.cameras import project
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.tracking.cameras.rig_camera import RigCamera
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.face import Face
from sage_ns.tracking.head_area import silhouette
from sage_ns.tracking.track_photo import Networks
from tests.tiny import tiny_head_model
from tests.tracking.cameras.ring import SIZE, ring
from tests.tracking.known_head import face_of, random_embedding

WALL, SKIN = (40, 60, 90), (200, 140, 120)


@dataclass(frozen=True, eq=False)
class KnownRig:
    """A head at rest at the origin, and cameras around it in metres."""

    model: HeadModel
    embedding: Embedding
    params: FlameParams
    vertices: torch.Tensor
    cameras: list[RigCamera]
    faces: dict[int, Face]


def known_rig(count: int = 5, noise: float = 0.0) -> KnownRig:
    model = tiny_head_model()
    embedding = random_embedding(model)
    neutral = FlameParams.neutral(model)
    shape = neutral.shape.clone()
    shape[:8] = torch.tensor([0.5, -0.4, 0.3, 0.2, -0.3, 0.1, 0.2, -0.1])
    params = replace(neutral, shape=shape, jaw_pose=torch.tensor([[0.12, 0.0, 0.0]]))
    vertices = pose_vertices(model, params)[0]
    cameras = ring(count, 0.7, (0.0, 0.0, 0.0))
    places = embedding.points(vertices, model.triangles)
    generator = torch.Generator().manual_seed(3)
    faces = {}
    for row, camera in enumerate(cameras):
        seen = project(places, camera.pinhole(SIZE))
        depth = (seen.depth - seen.depth.mean()) * camera.focal[0] / seen.depth.mean()
        faces[row] = face_of(seen.pixels + noise * torch.randn(seen.pixels.shape, generator=generator), depth)
    return KnownRig(model, embedding, params, vertices, cameras, faces)


def elsewhere(cameras: Sequence[RigCamera], units_per_metre: float = 1.0) -> list[RigCamera]:
    """The same cameras in a world with other axes, another origin and another unit."""
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    world = np.eye(4)  # from the other world to this one
    world[:3, :3], world[:3, 3] = turn, [0.4, -0.2, 1.0]
    moved = []
    for camera in cameras:
        matrix = camera.world_to_camera @ world
        matrix[:3, 3] *= units_per_metre
        moved.append(replace(camera, world_to_camera=matrix))
    return moved


def write_rig_pictures(rig: KnownRig, folder: Path) -> None:
    """Write pictures of the head; a patch at the left holds the row of the camera."""
    folder.mkdir(parents=True, exist_ok=True)
    for row, camera in enumerate(rig.cameras):
        shape = silhouette(rig.vertices, rig.model, camera.pinhole(SIZE)) > 0.5
        picture = np.where(shape[..., None], SKIN, WALL).astype(np.uint8)
        picture[70:90, :12] = row
        Image.fromarray(picture).save(folder / f"{camera.name}.png")


def networks_of(rig: KnownRig, without: Sequence[int] = ()) -> Networks:
    """A detector that knows the faces, but finds none in the pictures `without`, and a segmentation by colour."""

    def detect(picture: object) -> list[Face]:
        row = int(np.asarray(picture)[80, 6, 0])
        return [] if row in without or row not in rig.faces else [rig.faces[row]]

    def segment(picture: np.ndarray) -> np.ndarray:
        return (np.abs(picture.astype(float) - WALL).max(axis=-1) > 50).astype(float)

    return Networks(detect, segment)
