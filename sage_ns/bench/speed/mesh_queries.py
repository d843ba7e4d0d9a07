"""Speed of rays, closest points and signed distances at the built-in head, compared with brute force in torch.

    python -m sage_ns.bench.speed.mesh_queries [--device cuda] [--threads 1] [--json-path results.json]

*New mesh* builds the search tree before the query. *Moved mesh* updates the pose of an existing mesh before the query,
as every training step of phase 2 does. Brute force compares each ray or point with each triangle: it is timed with a
few of them and scaled up. To reduce the influence of other programs, rounds are interleaved and the median is reported;
compare ratios rather than milliseconds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sage_ns.geometry import TriangleMesh
from sage_ns.geometry.signed_distance import Solid
from sage_ns.synthetic.head import builtin_head
from sage_ns.system.files import write_json
from sage_ns.system.parallel import num_threads

NUM_RAYS = (2048, 20_000, 50_000)
NUM_CLOSEST, NUM_SIGNED, NUM_BRUTE = 30_000, 200_000, 256


def rays(vertices: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Return rays from half a metre in front of a head towards its vertices; seven of eight hit it."""
    origins = torch.tensor([0.0, 0.0, 0.6]) + 0.1 * torch.randn(num, 3)
    return origins.to(vertices), near(vertices, num, 0.01) - origins.to(vertices)


def near(vertices: Tensor, num: int, spread: float) -> Tensor:
    """Return random points near the vertices, metres."""
    chosen = vertices[torch.randint(len(vertices), (num,)).to(vertices.device)]
    return chosen + spread * torch.randn(num, 3).to(vertices)


def brute_first_triangles(corners: Tensor, origins: Tensor, directions: Tensor) -> Tensor:
    """Return the first triangle that each ray hits, or -1 (Moeller and Trumbore 1997)."""
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    across = torch.linalg.cross(directions[:, None].expand(-1, len(corners), -1), edge2[None])
    inverse = 1 / (across * edge1).sum(dim=-1)
    offset = origins[:, None] - corners[:, 0]
    u = (offset * across).sum(dim=-1) * inverse
    turned = torch.linalg.cross(offset, edge1[None].expand_as(offset))
    v = (turned * directions[:, None]).sum(dim=-1) * inverse
    t = (turned * edge2).sum(dim=-1) * inverse
    t = torch.where((u >= 0) & (v >= 0) & (u + v <= 1) & (t >= 0), t, torch.inf)
    least, triangle = t.min(dim=1)
    return torch.where(least.isinf(), -1, triangle)


def brute_distances(corners: Tensor, points: Tensor) -> Tensor:
    """Return the distance of each point to the closest triangle, measured to its interior or to one of its sides."""
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal = torch.nn.functional.normalize(normal, dim=-1)
    best = torch.full((len(points), len(corners)), torch.inf).to(points)
    over = torch.ones_like(best, dtype=torch.bool)
    for side in range(3):
        start, along = corners[:, side], corners[:, (side + 1) % 3] - corners[:, side]
        toward = points[:, None] - start
        share = ((toward * along).sum(dim=-1) / (along * along).sum(dim=-1).clamp_min(1e-30)).clamp(0, 1)
        best = torch.minimum(best, (toward - share[..., None] * along).norm(dim=-1))
        over &= (toward * torch.linalg.cross(normal, along)).sum(dim=-1) >= 0
    height = ((points[:, None] - corners[:, 0]) * normal).sum(dim=-1).abs()
    return torch.where(over, torch.minimum(best, height), best).amin(dim=1)


def medians(calls: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """Return the milliseconds of each call: the median of interleaved rounds after one warm-up round."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for counts in (False, *[True] * rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if device != "cpu":
                torch.cuda.synchronize()
            if counts:
                found[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(times) for name, times in found.items()}


def measure(device: str, rounds: int) -> dict[str, dict[str, float]]:
    """Return the milliseconds of every query, by query and by method."""
    head = builtin_head()
    vertices, triangles = head.v_template.to(device), head.triangles.to(device)
    corners = vertices[triangles]
    kept = TriangleMesh(vertices, triangles)
    results = {}
    for num in NUM_RAYS:
        shot = rays(vertices, num)
        few = [part[:NUM_BRUTE] for part in shot]
        results[f"{num} rays"] = medians(
            {
                "new mesh": lambda shot=shot: TriangleMesh(vertices, triangles).first_hits(*shot),
                "moved mesh": lambda shot=shot: (kept.move(vertices), kept.first_hits(*shot)),
                "brute force": lambda few=few: brute_first_triangles(corners, *few),
            },
            rounds,
            device,
        )
        results[f"{num} rays"]["brute force"] *= num / NUM_BRUTE
    points = near(vertices, NUM_CLOSEST, 0.01)
    results[f"{NUM_CLOSEST} closest points"] = medians(
        {
            "new mesh": lambda: TriangleMesh(vertices, triangles).closest(points),
            "moved mesh": lambda: (kept.move(vertices), kept.closest(points)),
            "brute force": lambda: brute_distances(corners, points[:NUM_BRUTE]),
        },
        rounds,
        device,
    )
    results[f"{NUM_CLOSEST} closest points"]["brute force"] *= NUM_CLOSEST / NUM_BRUTE
    solid, around = Solid(vertices, triangles), near(vertices, NUM_SIGNED, 0.02)
    times = medians({"moved mesh": lambda: solid.signed_distances(around)}, max(1, rounds // 3), device)
    built = medians({"new": lambda: Solid(vertices, triangles)}, 1, device)["new"]
    results[f"{NUM_SIGNED} signed distances (CPU)"] = {"new mesh": built + times["moved mesh"], **times}
    return results


def main(device: str = "cpu", threads: int | None = None, rounds: int = 9, json_path: Path | None = None) -> None:
    """Measure the speed of mesh queries, and print the figures.

    Args:
        device: cpu or cuda.
        threads: number of CPU threads; by default all cores.
        rounds: number of rounds; the median is reported.
        json_path: JSON file for the figures.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    results = measure(device, rounds)
    console = Console(width=120)
    table = Table(title=f"Mesh queries at the built-in head, {device}, {num_threads()} threads, milliseconds")
    for heading in ("query", "new mesh", "moved mesh", "brute force (and times the moved mesh)"):
        table.add_column(heading, justify="left" if heading == "query" else "right")
    for query, times in results.items():
        brute = times.get("brute force")
        against = "-" if brute is None else f"{brute:.0f} ({brute / times['moved mesh']:.0f})"
        table.add_row(query, f"{times['new mesh']:.1f}", f"{times['moved mesh']:.1f}", against)
    console.print(table)
    if json_path is not None:
        write_json(json_path, results)


if __name__ == "__main__":
    tyro.cli(main)
