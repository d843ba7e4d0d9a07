"""Pre-train the field on the tracked head's shape; the result is cached in a file, one for each head."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.errors import FieldError, WriteError
from sage_ns.field.sdf import SignedDistanceField
from sage_ns.geometry import sample_triangles, triangle_areas, triangle_normals
from sage_ns.geometry.signed_distance import Solid
from sage_ns.system.cache import cache_dir
from sage_ns.system.files import whole_file
from sage_ns.system.parallel import cores_for_kernels
from sage_ns.system.progress import tracked
from sage_ns.system.user_files import check_regular

VERSION = 2
"""Part of every cached file's name: raise it when the same inputs no longer give the same result."""
STEPS = 250
_NUM_SURFACE, _NUM_NEAR, _NUM_FAR, _NUM_UNIFORM = 24_000, 16_000, 8_000, 8_000
_NEAR, _FAR = 0.01, 0.03  # spread of points about the surface, metres
_BATCH = 3072
_ON_SURFACE = 0.5  # share of the batch
_LEARNING_RATE, _LAST_LEARNING_RATE = 1e-2, 2e-4
_DISTANCE_UNIT = 0.01  # metres of error that weigh as much as a normal turned by 90 degrees
_EIKONAL, _NORMAL = 0.1, 0.2

Progress = Callable[[Sequence[int], str], Iterable[int]]
"""Takes the steps and a description; yields the steps and shows their progress under that description."""


@dataclass(frozen=True, eq=False)
class DistanceSamples:
    """Points with the distances that the field should have there; points on the surface come first, with normals."""

    points: Float[Tensor, "num_points 3"]
    distance: Float[Tensor, "num_points"]
    normals: Float[Tensor, "num_surface 3"]


def pretrain(
    field: SignedDistanceField,
    vertices: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    seed: int,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> float:
    """Fit the field, in place, to the signed distance of a mesh, or load the cached result of an earlier fit.

    Minimises |f - distance| everywhere, (|grad f| - 1)^2 everywhere and 1 - grad f . n on the surface, with the levels
    that are open. Torch's random state is the same afterwards.

    Args:
        field: the field to fit; its open levels do not change.
        vertices: canonical world, metres. Holes are closed, and inner parts are ignored.
        triangles: facing outwards.
        seed: of all random numbers.
        steps: number of optimiser steps.
        progress: shows the steps; None shows a bar in the terminal.

    Returns:
        Mean of |f| over the surface after the fit, metres.

    Raises:
        ValueError: The mesh is empty, not finite or inside out.
    """
    path = cache_dir() / f"pretrained-{_content_key(field, vertices, triangles, seed, steps)}.pt"
    found = _read(path, field)
    if found is not None:
        return found
    device = field.center.device
    samples = distance_samples(vertices, triangles, field.center.cpu(), float(field.half_size), seed)
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), cores_for_kernels() if device.type == "cpu" else nullcontext():
        torch.manual_seed(seed)
        title = "Pre-training the field"
        if progress is not None:
            _fit(field, samples, seed, progress(range(steps), title), steps)
        else:
            with tracked(range(steps), title) as indices:
                _fit(field, samples, seed, indices, steps)
        surface = samples.points[: len(samples.normals)].to(device)
        with torch.no_grad():
            error = float(field.distance(surface).abs().mean())
    _write(path, field, error)
    return error


def distance_samples(
    vertices: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    center: Float[Tensor, "3"],
    half_size: float,
    seed: int,
) -> DistanceSamples:
    """Draw points on a mesh's outer surface, near it (1 cm and 3 cm) and in the whole cube, with distances; on CPU."""
    generator = torch.Generator().manual_seed(seed)
    solid = Solid(vertices, triangles)
    # A bust may leave the cube, outside of which nothing is learned.
    inside = ((solid.vertices - center).abs() <= half_size).all(dim=-1)[solid.triangles].all(dim=-1)
    weights = triangle_areas(solid.vertices, solid.triangles) * inside
    chosen = sample_triangles(weights, _NUM_SURFACE, generator)
    weights = -torch.rand(_NUM_SURFACE, 3, generator=generator, dtype=torch.float64).clamp_min(1e-12).log()
    weights = weights / weights.sum(dim=-1, keepdim=True)  # uniform over the triangle
    corners = solid.vertices[solid.triangles[chosen]]
    surface = (corners * weights[..., None]).sum(dim=1)
    normals = triangle_normals(solid.vertices, solid.triangles)[chosen]
    around = surface[torch.randint(_NUM_SURFACE, (_NUM_NEAR + _NUM_FAR,), generator=generator)]
    spread = torch.cat([torch.full((_NUM_NEAR, 1), _NEAR), torch.full((_NUM_FAR, 1), _FAR)])
    around = around + spread * torch.randn(around.shape, generator=generator, dtype=torch.float64)
    anywhere = center + half_size * (2 * torch.rand(_NUM_UNIFORM, 3, generator=generator, dtype=torch.float64) - 1)
    # Outside its cube the field is not learned: the value at the border determines it.
    around = center + (around - center).clamp(-half_size, half_size)
    elsewhere = torch.cat([around, anywhere])
    distance = torch.cat([torch.zeros(_NUM_SURFACE, dtype=torch.float64), solid.signed_distances(elsewhere)])
    return DistanceSamples(torch.cat([surface, elsewhere]).float(), distance.float(), normals.float())


def _fit(
    field: SignedDistanceField,
    samples: DistanceSamples,
    seed: int,
    indices: Iterable[int],
    steps: int,
) -> None:
    device = field.center.device
    points, distance, normals = (t.to(device) for t in (samples.points, samples.distance, samples.normals))
    generator = torch.Generator().manual_seed(seed + 1)
    num_surface = round(_ON_SURFACE * _BATCH)
    optimizer = torch.optim.Adam(field.parameters(), lr=_LEARNING_RATE, eps=1e-15)
    decay = (_LAST_LEARNING_RATE / _LEARNING_RATE) ** (1 / max(1, steps))
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
    for _ in indices:
        on_surface = torch.randint(len(normals), (num_surface,), generator=generator).to(device)
        elsewhere = torch.randint(len(normals), len(points), (_BATCH - num_surface,), generator=generator).to(device)
        batch = torch.cat([on_surface, elsewhere])
        sample = field.evaluate(points[batch], gradient=True)
        gradient = sample.gradient
        assert gradient is not None
        loss = F.l1_loss(sample.distance, distance[batch]) / _DISTANCE_UNIT
        loss = loss + _EIKONAL * ((gradient.norm(dim=-1) - 1) ** 2).mean()
        loss = loss + _NORMAL * (1 - (F.normalize(gradient[:num_surface], dim=-1) * normals[on_surface]).sum(-1)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()


def _content_key(field: SignedDistanceField, vertices: Tensor, triangles: Tensor, seed: int, steps: int) -> str:
    """Hash all that the result depends on: the parameters' names and shapes too, but not their initial values."""
    digest = hashlib.sha256(repr((VERSION, asdict(field.config), seed, steps)).encode())
    for tensor in (vertices.double(), triangles.long()):
        digest.update(repr(tuple(tensor.shape)).encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    learned = {name for name, _ in field.named_parameters()}
    for name, value in sorted(field.state_dict().items()):
        digest.update(repr((name, tuple(value.shape), value.dtype)).encode())
        if name not in learned:
            digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path, field: SignedDistanceField) -> float | None:
    """Load the result of an earlier run; return None and change nothing if the file is missing or does not fit."""
    try:
        check_regular(path, FieldError)
        saved = torch.load(path, map_location="cpu", weights_only=True)
        error, state = float(saved["error"]), saved["field"]
        _check_fits(state, field.state_dict())
    except Exception:  # a damaged file can raise any error; it is written again
        return None
    field.load_state_dict(state)
    return error


def _check_fits(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    if state.keys() != expected.keys():
        raise ValueError("other entries")
    for name, value in expected.items():
        if state[name].shape != value.shape or not bool(torch.isfinite(state[name]).all()):
            raise ValueError(f"{name} has another shape, or is not finite")


def _write(path: Path, field: SignedDistanceField, error: float) -> None:
    """Cache the result for later runs; skip this if the file cannot be written."""
    saved = {"error": error, "field": field.state_dict()}
    with suppress(WriteError), whole_file(path) as unfinished, unfinished.open("wb") as file:
        torch.save(saved, file)
