"""Speed of the field's grid encoding on the CPU, compared with three alternatives, and of the whole field.

    python -m sage_ns.bench.speed.encoding [--rounds 10] [--json-path results.json]

All encodings have the same levels and two features per level. *First order*: features of many points and the gradient
of the parameters. *Second order*: features of fewer points, the gradient of their sum to the points, and the gradient
of a loss on that to the parameters, which an eikonal loss needs. torch has one thread and the kernels have all, as in
training. To reduce the influence of other programs, rounds are interleaved and the fastest one is reported; compare
ratios rather than milliseconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded, see sage_ns.bench.speed.rasteriser

import torch
import tyro
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from sage_ns.field.encoding import GridEncoding
from sage_ns.field.sdf import FieldConfig, SignedDistanceField
from sage_ns.system.files import write_json
from sage_ns.system.parallel import cores_for_kernels, num_threads

NUM_LEVELS, LOG2_TABLE_SIZE, COARSEST, FINEST = 8, 17, 16, 192
RADIUS, HALF_SIZE = 0.3, 0.2
NAMES = {
    "numba": "ours, compiled",
    "torch": "ours, plain torch",
    "nerfstudio": "nerfstudio's HashEncoding, torch",
    "dense": "dense grids, grid_sample",
}


class DensePyramid(nn.Module):
    """The same levels without hashing: one dense grid each, read by `grid_sample`, which has no second derivative."""

    def __init__(self, resolutions: tuple[int, ...]) -> None:
        super().__init__()
        self.grids = nn.ParameterList([1e-4 * torch.randn(1, 2, r, r, r) for r in resolutions])

    def forward(self, x: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points num_features"]:
        """Return features at points of the unit cube."""
        place = (2.0 * x - 1.0)[None, :, None, None]
        return torch.cat(
            [nn.functional.grid_sample(grid, place, align_corners=True)[0, :, :, 0, 0].T for grid in self.grids], dim=1
        )


@dataclass
class Timing:
    """Times of one encoding, the fastest of all rounds, milliseconds; None if it has no second derivative."""

    name: str
    num_parameters: int
    first_order_ms: float
    second_order_ms: float | None


def encodings() -> dict[str, nn.Module]:
    """Make all compared encodings, by short name."""
    from nerfstudio.field_components.encodings import HashEncoding

    sizes = (NUM_LEVELS, 2, LOG2_TABLE_SIZE, COARSEST, FINEST)
    ours = GridEncoding(*sizes, backend="numba")
    return {
        "numba": ours,
        "torch": GridEncoding(*sizes, backend="torch"),
        "nerfstudio": HashEncoding(NUM_LEVELS, COARSEST, FINEST, LOG2_TABLE_SIZE, 2, implementation="torch"),
        "dense": DensePyramid(ours.layout.resolutions),
    }


def on_a_sphere(num_points: int) -> Float[Tensor, "num_points 3"]:
    """Return random points of a sphere in the unit cube; like surfels, they lie on a surface."""
    directions = torch.randn(num_points, 3, generator=torch.Generator().manual_seed(0))
    return 0.5 + RADIUS * nn.functional.normalize(directions, dim=-1)


def first_order(encoding: nn.Module, x: Tensor, weights: Tensor) -> None:
    """Compute features and the gradient of the parameters."""
    torch.autograd.grad(encoding(x), list(encoding.parameters()), weights)


def second_order(encoding: nn.Module, x: Tensor, weights: Tensor) -> None:
    """Compute features, their gradient to the points, and the gradient of a loss on it to the parameters."""
    leaf = x.clone().requires_grad_()
    if isinstance(encoding, GridEncoding):
        features = encoding(leaf)
        gradient = encoding.position_gradient(leaf, weights)
    else:
        features = encoding(leaf)
        (gradient,) = torch.autograd.grad(features, leaf, weights, create_graph=True)
    loss = features.sum() + gradient.square().sum()
    torch.autograd.grad(loss, list(encoding.parameters()))


def fastest(calls: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Return the milliseconds of each call: the fastest of interleaved rounds after one warm-up round."""
    found = dict.fromkeys(calls, float("inf"))
    for counts in (False, *[True] * rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if counts:
                found[name] = min(found[name], 1e3 * (time.perf_counter() - start))
    return found


def time_encodings(num_points: int, num_second: int, rounds: int) -> dict[str, Timing]:
    """Time all encodings."""
    compared = encodings()
    x, weights = on_a_sphere(num_points), torch.randn(num_points, 2 * NUM_LEVELS)
    few, few_weights = x[:num_second], weights[:num_second]
    first = fastest({n: lambda e=e: first_order(e, x, weights) for n, e in compared.items()}, rounds)
    twice = {n: e for n, e in compared.items() if n != "dense"}
    second = fastest({n: lambda e=e: second_order(e, few, few_weights) for n, e in twice.items()}, rounds)
    counts = {name: sum(p.numel() for p in e.parameters()) for name, e in compared.items()}
    return {n: Timing(NAMES[n], counts[n], first[n], second.get(n)) for n in compared}


def time_field(num_points: int, num_second: int, rounds: int) -> dict[str, float]:
    """Time the forward and backward pass of the whole field in each of its uses, milliseconds."""
    field = SignedDistanceField(FieldConfig(), torch.zeros(3), HALF_SIZE)
    x = 2.0 * HALF_SIZE * (on_a_sphere(num_points) - 0.5)

    def run(points: Tensor, gradient: str, moving: bool) -> None:
        field.zero_grad(set_to_none=True)
        sample = field.evaluate(
            points.clone().requires_grad_(moving), {"none": False, "detached": "detached", "loss": True}[gradient]
        )
        loss = sample.distance.abs().mean() + sample.feature.square().mean()
        if gradient == "loss" and sample.gradient is not None:
            loss = loss + (sample.gradient.norm(dim=-1) - 1.0).square().mean()
        loss.backward()

    def only_distance() -> None:
        with torch.no_grad():
            field.distance(x)

    calls = {
        "no gradient": lambda: run(x, "none", False),
        "no gradient, points learn": lambda: run(x, "none", True),
        "detached gradient": lambda: run(x, "detached", False),
        f"loss on gradient, {num_second} points": lambda: run(x[:num_second], "loss", False),
        f"loss on gradient, {num_second} points that learn": lambda: run(x[:num_second], "loss", True),
        "distance alone, forward": only_distance,
    }
    return fastest(calls, rounds)


def report(console: Console, timings: dict[str, Timing], field: dict[str, float], num: int, num_second: int) -> None:
    """Print both tables."""
    table = Table(title=f"Grid encodings on the CPU, {num_threads()} threads, milliseconds (and times ours)")
    for heading in ("encoding", "parameters", f"first order, {num} points", f"second order, {num_second} points"):
        table.add_column(heading, justify="left" if heading == "encoding" else "right")
    ours = timings["numba"]
    for timing in timings.values():
        first = f"{timing.first_order_ms:.1f} ({timing.first_order_ms / ours.first_order_ms:.1f})"
        second = "not supported"
        if timing.second_order_ms is not None and ours.second_order_ms is not None:
            second = f"{timing.second_order_ms:.1f} ({timing.second_order_ms / ours.second_order_ms:.1f})"
        table.add_row(timing.name, f"{timing.num_parameters:,}", first, second)
    console.print(table)
    table = Table(title=f"The whole field, {num} points unless noted, forward and backward pass")
    table.add_column("use")
    table.add_column("milliseconds", justify="right")
    for name, duration in field.items():
        table.add_row(name, f"{duration:.1f}")
    console.print(table)


def main(
    points: int = 30_000, second_order_points: int = 4096, rounds: int = 10, json_path: Path | None = None
) -> None:
    """Measure the speed of grid encodings and of the field, and print the figures.

    Args:
        points: number of points in the first-order case, by default about that of an avatar's surfels.
        second_order_points: number of points in the second-order case.
        rounds: number of rounds; the fastest one is reported.
        json_path: JSON file for the figures.
    """
    console = Console(width=120)
    with cores_for_kernels():
        timings = time_encodings(points, second_order_points, rounds)
        field = time_field(points, second_order_points, rounds)
        report(console, timings, field, points, second_order_points)
    if json_path is not None:
        results = {"encodings": {name: asdict(timing) for name, timing in timings.items()}, "field_ms": field}
        write_json(json_path, results)


if __name__ == "__main__":
    tyro.cli(main)
