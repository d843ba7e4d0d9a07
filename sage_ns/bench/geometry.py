"""Accuracy of an avatar's geometry, for captures with a true surface.

    python -m sage_ns.bench.geometry --load-config CONFIG --truth surface.npz [--json-path results.json]

The truth is an npz file with `timesteps` [T], `vertices` [T V 3] in metres, `triangles` [F 3] and `face` [F], which
marks the triangles of the face.

*Distances*, in millimetres, over points spread evenly on the part of a surface that the training cameras see: from the
true face to the mesh (large where parts are missing), and from the mesh's face, the part nearest to the true face, to
the truth (large where the mesh has surplus parts). The tool measures the tracked mesh, the surfels (their rendered
depth fused into a mesh) and, if the avatar has a signed distance field, its surface.

*Normals*, in degrees: mean angle to the normals of the true surface over the pixels that show the true face, from the
held-out cameras and from cameras half way between neighbouring training cameras.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
import tyro
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sage_ns.avatar.field_surface import CELL_SIZE, SurfaceMesh, extract_surface, render_surface
from sage_ns.capture.record import CaptureRecord
from sage_ns.errors import SageError
from sage_ns.evaluation.depth_fusion import fuse_depth
from sage_ns.evaluation.true_surface import Truth, plain_mesh
from sage_ns.geometry import (
    barycentric_to_points,
    matrix_to_quaternion,
    nearest_triangles,
    quaternion_slerp,
    quaternion_to_matrix,
    sample_triangles,
    triangle_areas,
    triangle_normals,
)
from sage_ns.geometry.mesh_queries import uniform_barycentric
from sage_ns.plugin.cameras import pinhole_camera
from sage_ns.raster import Buffers, PinholeCamera
from sage_ns.raster.supersampling import enlarged
from sage_ns.rig.carry import CarriedPoints
from sage_ns.system.files import write_json

if TYPE_CHECKING:
    from nerfstudio.cameras.cameras import Cameras

    from sage_ns.plugin.model import SageModel
    from sage_ns.plugin.pipeline import SagePipeline

FUSED = "surfels, depth fused"
"""Name of the surface that the surfels draw."""
NUM_SAMPLES = 40_000
"""Number of points on a surface, including those that no camera sees."""
FUSION_CELL = 0.0015
"""Cell size of the fusion, metres. Pixels of a face are about half a millimetre at 800 rows, and two at 200."""
FUSION_MARGIN = 0.03
"""Margin around the true face within which depth is fused, metres."""


@dataclass
class Distances:
    """Millimetres between the true face and a mesh."""

    truth_to_mesh_mean: float
    truth_to_mesh_p90: float
    mesh_to_truth_mean: float
    mesh_to_truth_p90: float


@dataclass
class NormalError:
    """Error of the normals over the pixels of the true face."""

    mean_deg: float
    median_deg: float
    coverage: float
    """Share of these pixels that have a normal."""


def halfway_cameras(cameras: list[PinholeCamera], target: Float[Tensor, "3"]) -> list[PinholeCamera]:
    """Return a camera half way between each camera and its nearest neighbour as seen from ``target`` [metres].

    Its distance from the target and its orientation are the means of the two; the rest is that of the first of them.
    Each pair of cameras gives one camera.
    """
    offsets = torch.stack([camera.center for camera in cameras]) - target
    directions = F.normalize(offsets, dim=-1)
    cosines = directions @ directions.T
    cosines.fill_diagonal_(-2.0)
    pairs = {(min(i, j), max(i, j)) for i, j in enumerate(cosines.argmax(dim=1).tolist())}
    between = []
    for first, second in sorted(pairs):
        direction = F.normalize(directions[first] + directions[second], dim=0)
        center = target + direction * (offsets[first].norm() + offsets[second].norm()) / 2
        ends = torch.stack([cameras[index].T_camera_world[:3, :3] for index in (first, second)])
        start, end = matrix_to_quaternion(ends)
        T_camera_world = torch.eye(4)
        T_camera_world[:3, :3] = quaternion_to_matrix(quaternion_slerp(start, end, torch.tensor(0.5)))
        T_camera_world[:3, 3] = -T_camera_world[:3, :3] @ center
        between.append(replace(cameras[first], T_camera_world=T_camera_world))
    return between


def visible_points(
    mesh: SurfaceMesh, weights: Float[Tensor, "num_triangles"], cameras: list[PinholeCamera], seed: int = 0
) -> Float[Tensor, "num_visible 3"]:
    """Sample points on the triangles in proportion to ``weights``, and keep those that a camera sees from outside."""
    generator = torch.Generator().manual_seed(seed)
    triangle = sample_triangles(weights, NUM_SAMPLES, generator)
    barycentric = uniform_barycentric(NUM_SAMPLES, generator)
    points = barycentric_to_points(mesh.vertices, mesh.triangles, triangle, barycentric)
    normals = triangle_normals(mesh.vertices, mesh.triangles)[triangle]
    seen = torch.zeros(len(points), dtype=torch.bool)
    for camera in cameras:
        directions = points - camera.center
        facing = ~seen & ((directions * normals).sum(dim=-1) < 0)
        origins = camera.center.expand_as(points)
        hits = mesh.caster.first_hits(origins[facing], directions[facing]).triangle
        seen[facing] = hits == triangle[facing]
    return points[seen]


def distances(truth: Truth, mesh: SurfaceMesh, cameras: list[PinholeCamera]) -> Distances:
    """Measure the distances in both directions, over the part of the face that ``cameras`` see."""
    true_areas = triangle_areas(truth.mesh.vertices, truth.mesh.triangles)
    on_truth = visible_points(truth.mesh, true_areas * truth.face, cameras)
    forth = 1e3 * nearest_triangles(on_truth, mesh.vertices, mesh.triangles).distance
    on_mesh = visible_points(mesh, triangle_areas(mesh.vertices, mesh.triangles), cameras)
    closest = nearest_triangles(on_mesh, truth.mesh.vertices, truth.mesh.triangles)
    back = 1e3 * closest.distance[truth.face[closest.triangle]]
    return Distances(float(forth.mean()), float(forth.quantile(0.9)), float(back.mean()), float(back.quantile(0.9)))


class NormalErrors:
    """Angles to the true normals, collected camera by camera for several kinds of normal maps."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self._angles: dict[str, list[Tensor]] = {}

    def add(self, camera: PinholeCamera, maps: dict[str, Float[Tensor, "h w 3"]]) -> None:
        """Add normal maps of one camera; a zero vector means that a pixel has no normal."""
        view = render_surface(self.truth.mesh, camera)
        triangle = view.triangle[..., 0]
        on_face = self.truth.face[triangle.clamp_min(0)] & (triangle >= 0)
        for name, normals in maps.items():
            pair = F.normalize(normals[on_face], dim=-1), view.normal[on_face]
            # The chord is accurate for small angles, the arc cosine is not.
            angle = 2 * torch.asin(((pair[0] - pair[1]).norm(dim=-1) / 2).clamp_max(1.0))
            angle[normals[on_face].norm(dim=-1) == 0] = torch.nan
            self._angles.setdefault(name, []).append(torch.rad2deg(angle))

    def summary(self) -> dict[str, NormalError]:
        """Return the errors over all pixels of all cameras, by name of the normal map."""
        result = {}
        for name, parts in self._angles.items():
            angles = torch.cat(parts)
            valid = angles[~angles.isnan()]
            coverage = len(valid) / max(1, len(angles))
            result[name] = NormalError(float(valid.mean()), float(valid.median()), coverage)
        return result


class Subject:
    """An avatar at one moment, with the cameras of its capture."""

    def __init__(self, pipeline: SagePipeline, timestep: int | None) -> None:
        self.model: SageModel = pipeline.model
        motion = self.model.motion
        canonical = int(motion.timesteps[motion.canonical_row])
        self.timestep = canonical if timestep is None else timestep
        rows = torch.nonzero(motion.timesteps == self.timestep)[:, 0]
        if len(rows) == 0:
            raise SageError(
                f"the avatar has no motion of timestep {self.timestep}: give a timestep of its capture as --timestep"
            )
        self.motion = motion.motion[rows[0]]
        self._tracked = motion.tracked if self.timestep == canonical else self.motion
        self.triangles = self.model.rig.head_model.triangles.cpu()
        datamanager = pipeline.datamanager
        self.train = _cameras(datamanager.train_dataset.cameras)
        held_out = datamanager.dataparser.get_dataparser_outputs(split="val")
        own = CaptureRecord.of(held_out.metadata).split_source == "val"
        self.held_out = _cameras(held_out.cameras) if own else []

    def tracked(self) -> SurfaceMesh:
        """Return the rig's mesh as tracked."""
        return plain_mesh(self.model.rig.vertices(self._tracked).cpu(), self.triangles)

    def refined(self) -> SurfaceMesh | None:
        """Return the rig's mesh after its refinement on the field's surface; None if it was not refined."""
        if torch.equal(self._tracked, self.motion):
            return None
        return plain_mesh(self.model.rig.vertices(self.motion).cpu(), self.triangles)

    def fused(self, cameras: list[PinholeCamera], low: Tensor, high: Tensor) -> SurfaceMesh:
        """Fuse the surfels' rendered depth, supersampled as in training, into one mesh of a box [metres]."""
        factor = self.model.config.supersampling

        def views() -> Iterator[tuple[PinholeCamera, Buffers]]:
            for camera in cameras:
                yield enlarged(camera, factor), self.model.learner.draw_fine(camera.to(self.model.device), self.motion)

        return plain_mesh(*fuse_depth(views(), low, high, FUSION_CELL, 4 * FUSION_CELL))

    def of_field(self, cell_size: float) -> SurfaceMesh | None:
        """Return the surface of the signed distance field; None if the avatar has no field."""
        canonical = self.model.canonical
        if canonical is None:
            return None
        rig, canonical_motion = self.model.rig, self.model.motion.canonical()
        mesh = extract_surface(canonical.field, canonical.appearance, cell_size)
        carry = CarriedPoints(mesh.vertices, rig.vertices(canonical_motion), rig.head_model.triangles)
        return mesh.posed(carry, rig.vertices(self.motion)).to("cpu")

    def normal_maps(self, camera: PinholeCamera) -> dict[str, Float[Tensor, "h w 3"]]:
        """Return normal maps of the surfels; zero where they cover less than half of a pixel."""
        buffers = self.model.learner.draw(camera.to(self.model.device), self.motion)
        shown = (buffers.alpha > 0.5).float()
        return {
            "surfels, rendered normals": (buffers.normal * shown).cpu(),
            "surfels, normals of the depth": (buffers.normal_from_depth * shown).cpu(),
        }


def _cameras(cameras: Cameras) -> list[PinholeCamera]:
    """Return each physical camera once, independent of the number of moments that it recorded."""
    metadata = cameras.metadata or {}
    index = metadata["camera_index"][:, 0].tolist() if "camera_index" in metadata else range(len(cameras))
    first = {number: row for row, number in reversed(list(enumerate(index)))}
    return [pinhole_camera(cameras[row : row + 1]).to("cpu") for _, row in sorted(first.items())]


def _meshes(
    subject: Subject, truth: Truth, between: list[PinholeCamera], cell_size: float
) -> dict[str, SurfaceMesh | None]:
    """Return the surfaces to compare by name; None = the avatar does not have it."""
    face = truth.mesh.vertices[truth.mesh.triangles[truth.face]].reshape(-1, 3)
    low, high = face.amin(dim=0) - FUSION_MARGIN, face.amax(dim=0) + FUSION_MARGIN
    return {
        "tracked mesh": subject.tracked(),
        "tracked mesh, refined": subject.refined(),
        FUSED: subject.fused(subject.train + between, low, high),
        "signed distance field": subject.of_field(cell_size),
    }


@torch.no_grad()
def measure_distances(
    pipeline: SagePipeline, truth_path: Path, timestep: int, cell_size: float = CELL_SIZE
) -> dict[str, Distances]:
    """Measure the distances of one avatar at one moment alone, by name of the surface.

    Raises:
        SageError: the truth cannot be read, or the truth or the avatar does not have the moment.
    """
    subject = Subject(pipeline, timestep)
    truth = Truth.load(truth_path, timestep)
    between = halfway_cameras(subject.train, truth.mesh.vertices.mean(dim=0))
    meshes = _meshes(subject, truth, between, cell_size)
    return {name: distances(truth, mesh, subject.train) for name, mesh in meshes.items() if mesh is not None}


@torch.no_grad()
def measure(
    pipeline: SagePipeline, truth_path: Path, timestep: int | None = None, cell_size: float = CELL_SIZE
) -> dict[str, Any]:
    """Measure one avatar at one moment; return `distances` and `normals` by name of the surface or map.

    Raises:
        SageError: The truth cannot be read, or the truth or the avatar does not have the moment.
    """
    subject = Subject(pipeline, timestep)
    truth = Truth.load(truth_path, subject.timestep)
    between = halfway_cameras(subject.train, truth.mesh.vertices.mean(dim=0))
    meshes = _meshes(subject, truth, between, cell_size)
    errors = NormalErrors(truth)
    for camera in subject.held_out + between:
        maps = subject.normal_maps(camera)
        maps |= {
            name: render_surface(mesh, camera).normal
            for name, mesh in meshes.items()
            if mesh is not None and name != FUSED
        }
        errors.add(camera, maps)
    return {
        "timestep": subject.timestep,
        "distances": {name: distances(truth, mesh, subject.train) for name, mesh in meshes.items() if mesh is not None},
        "normals": errors.summary(),
    }


def report(console: Console, figures: dict[str, Any]) -> None:
    """Print both tables."""
    table = Table(
        title=f"Distance to the true face at timestep {figures['timestep']}, millimetres", title_justify="left"
    )
    for heading in ("", "truth to mesh, mean", "90 %", "mesh to truth, mean", "90 %"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, each in figures["distances"].items():
        table.add_row(name, *(f"{value:.3f}" for value in asdict(each).values()))
    console.print(table)
    table = Table(title="Angle to the true normals, face, held-out and half-way cameras, degrees", title_justify="left")
    for heading in ("", "mean", "median", "pixels that have one"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, each in figures["normals"].items():
        table.add_row(name, f"{each.mean_deg:.2f}", f"{each.median_deg:.2f}", f"{100 * each.coverage:.1f} %")
    console.print(table)


def main(
    load_config: Path,
    truth: Path,
    timestep: int | None = None,
    cell_size: float = CELL_SIZE,
    json_path: Path | None = None,
) -> None:
    """Compare an avatar's geometry with the true surface, and print the figures.

    Args:
        load_config: config.yml of a trained avatar.
        truth: the true surface of its capture, an npz file.
        timestep: the moment to compare; by default the canonical moment of the avatar.
        cell_size: cell size of the signed distance field's mesh, metres.
        json_path: JSON file for the figures.
    """
    from sage_ns.plugin.run_setup import load_run

    pipeline = load_run(load_config, "inference").pipeline
    figures = measure(pipeline, truth, timestep, cell_size)
    report(Console(width=120), figures)
    if json_path is not None:
        plain = {"timestep": figures["timestep"], "config": str(load_config)}
        for kind in ("distances", "normals"):
            plain[kind] = {name: asdict(each) for name, each in figures[kind].items()}
        write_json(json_path, plain)


if __name__ == "__main__":
    tyro.cli(main)
