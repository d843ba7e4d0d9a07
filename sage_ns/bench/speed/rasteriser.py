"""Speed of the CPU rasteriser in milliseconds, compared with the plain-torch reference and the machine's peak.

    python -m sage_ns.bench.speed.rasteriser [--large] [--json-path results.json]

Compare ratios rather than milliseconds between machines. To reduce the influence of other programs, rounds are
interleaved and the fastest one is reported.

torch's OpenMP threads wait for work by spinning, for milliseconds, on the cores that the kernels need next. A training
step on the CPU is a quarter faster (several times, if other programs run) with OMP_WAIT_POLICY=PASSIVE in the
environment; this benchmark sets it unless it is already set.

*Floor*: the necessary flops divided by the machine's measured peak (a large float32 matrix product, run between the
rounds). Flops per evaluated pixel of a surfel: 46 for its opacity, twice (the backward pass computes it again), and 105
for the gradient; 31 for blending, if the surfel is drawn there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

# Both are read when torch is loaded. The first keeps the profiler from reporting every start and stop on stderr.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sage_ns.avatar.placement import place_surfels
from sage_ns.bench.speed.head_scene import count_lanes, head_like, scene_camera
from sage_ns.geometry import TriangleFrames
from sage_ns.geometry.spherical_harmonics import sh_colors
from sage_ns.image import ssim
from sage_ns.raster import PinholeCamera, Surfels, rasterize
from sage_ns.system.files import write_json
from sage_ns.system.parallel import num_threads

FLOPS_OPACITY, FLOPS_BLEND, FLOPS_GRADIENT = 46, 31, 105
CASES = ((5_000, 128, 128), (20_000, 256, 256), (50_000, 256, 256))
LARGE = (150_000, 550, 802)
REFERENCE_ROWS = 2


@dataclass
class Timing:
    """Times of one scene, the fastest of all rounds, milliseconds."""

    num_surfels: int
    width: int
    height: int
    forward_ms: float
    backward_ms: float
    stages_ms: dict[str, float]
    evaluated: int
    drawn: int
    peak_gflops: float

    @property
    def total_ms(self) -> float:
        """Time of the forward and backward pass."""
        return self.forward_ms + self.backward_ms

    @property
    def floor_ms(self) -> float:
        """Time of the counted flops at the machine's peak."""
        per_evaluation = 2 * FLOPS_OPACITY + FLOPS_GRADIENT
        flops = self.evaluated * per_evaluation + self.drawn * FLOPS_BLEND
        return flops / self.peak_gflops / 1e6


def leaves(surfels: Surfels) -> Surfels:
    """Return copies of the surfels as leaves that require gradients."""
    return Surfels(*(tensor.clone().requires_grad_() for tensor in surfels.__dict__.values()))


def milliseconds(call: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def peak_gflops(size: int = 1024) -> float:
    """Return the speed of a float32 matrix product on all of torch's threads, 1e9 flops per second."""
    a, b = torch.rand(size, size), torch.rand(size, size)
    return 2 * size**3 / milliseconds(lambda: a @ b) / 1e6


def draw_and_time(surfels: Surfels, camera: PinholeCamera, backend: str = "numba") -> tuple[float, float]:
    """Return the forward and backward time of all buffers, milliseconds."""
    images: list[Tensor] = []

    def forward() -> None:
        b = rasterize(surfels, camera, backend)  # type: ignore[arg-type]
        images.extend((b.color, b.alpha, b.depth, b.normal, b.distortion))

    forward_ms = milliseconds(forward)
    weights = [torch.ones_like(image) for image in images]
    inputs = list(surfels.__dict__.values())
    return forward_ms, milliseconds(lambda: torch.autograd.grad(images, inputs, weights))


def stage_times(surfels: Surfels, camera: PinholeCamera, rounds: int) -> dict[str, float]:
    """Return the fastest time of each stage, milliseconds."""
    fastest: dict[str, float] = {}
    for _ in range(rounds):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            draw_and_time(surfels, camera)
        for event in profile.key_averages():
            if event.key.startswith("surfels: "):
                name, duration = event.key.removeprefix("surfels: "), float(event.cpu_time_total or 0.0) / 1e3
                fastest[name] = min(fastest.get(name, duration), duration)
    return fastest


def time_case(num_surfels: int, width: int, height: int, rounds: int) -> Timing:
    """Time one scene, interleaved with measurements of the machine's peak."""
    from sage_ns.raster.numba_backend import _Pairs

    surfels, camera = leaves(head_like(num_surfels)), scene_camera(width, height)
    pairs = _Pairs(tuple(tensor.detach().numpy() for tensor in surfels.__dict__.values()), camera)
    evaluated, drawn = count_lanes(pairs.records, pairs.boxes, pairs.num_tiles)
    draw_and_time(surfels, camera)
    forward, backward, peak = [], [], []
    for _ in range(rounds):
        peak.append(peak_gflops())
        one_forward, one_backward = draw_and_time(surfels, camera)
        forward.append(one_forward)
        backward.append(one_backward)
    stages = stage_times(surfels, camera, max(3, rounds // 4))
    return Timing(num_surfels, width, height, min(forward), min(backward), stages, evaluated, drawn, max(peak))


def reference_ms(num_surfels: int, size: int, rounds: int) -> float:
    """Return the forward and backward time of the reference, measured on `REFERENCE_ROWS` rows and scaled up."""
    camera = scene_camera(size, size)
    middle = camera.intrinsics.clone()
    middle[1, 2] = REFERENCE_ROWS / 2
    strip = replace(camera, intrinsics=middle, height=REFERENCE_ROWS)
    surfels = leaves(head_like(num_surfels))
    return min(sum(draw_and_time(surfels, strip, "reference")) for _ in range(rounds)) * size / REFERENCE_ROWS


class TrainingStep:
    """A whole optimisation step of surfels without a field: place, colour, draw, four losses, backward, Adam."""

    def __init__(self, num_surfels: int, size: int) -> None:
        surfels = head_like(num_surfels)
        generator = torch.Generator().manual_seed(1)
        num_triangles = 10_000
        identity = torch.eye(3).expand(num_triangles, 3, 3).contiguous()
        self.frames = TriangleFrames(torch.zeros(num_triangles, 3), identity, torch.ones(num_triangles))
        self.triangle = torch.randint(num_triangles, (num_surfels,), generator=generator)
        self.local = (surfels.means, surfels.quaternions, surfels.scales.log(), torch.logit(surfels.opacities))
        self.harmonics = 0.1 * torch.randn(num_surfels, 16, 3, generator=generator)
        parameters = [*self.local, self.harmonics]
        for parameter in parameters:
            parameter.requires_grad_()
        self.optimizer = torch.optim.Adam(parameters, lr=1e-6, fused=True)
        self.camera = scene_camera(size, size)
        self.target = torch.rand(size, size, 3, generator=generator)

    def __call__(self) -> None:
        """Run one step."""
        placed = place_surfels(*self.local, self.triangle, self.frames)
        colors = sh_colors(self.harmonics, placed[0], self.camera.center)
        buffers = rasterize(Surfels(*placed, colors), self.camera)
        image = buffers.composite(torch.ones(3))
        loss = 0.8 * torch.nn.functional.l1_loss(image, self.target) + 0.2 * (1 - ssim(image, self.target))
        loss = loss + buffers.distortion.mean()
        loss = loss + (buffers.alpha - (buffers.normal * buffers.normal_from_depth).sum(-1, keepdim=True)).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


def training_step_times(num_surfels: int, size: int, rounds: int) -> tuple[float, float]:
    """Return the fastest whole step, and the fastest rasteriser pass (forward and backward) between steps, in ms."""
    step = TrainingStep(num_surfels, size)
    surfels = leaves(head_like(num_surfels))
    step()
    whole, raster = [], []
    for _ in range(rounds):
        whole.append(milliseconds(step))
        raster.append(sum(draw_and_time(surfels, step.camera)))
    return min(whole), min(raster)


def report(console: Console, timings: list[Timing]) -> None:
    """Print a table of all scenes."""
    stages = list(timings[0].stages_ms)
    table = Table(title=f"Surfel rasteriser on the CPU, {num_threads()} threads, milliseconds")
    for heading in ("scene", "forward", "backward", "sum", *stages, "floor", "sum / floor"):
        table.add_column(heading, justify="right")
    for t in timings:
        name = f"{t.num_surfels // 1000}k @ {t.width}x{t.height}"
        numbers = [t.forward_ms, t.backward_ms, t.total_ms, *(t.stages_ms.get(s, 0.0) for s in stages), t.floor_ms]
        table.add_row(name, *(f"{number:.2f}" for number in numbers), f"{t.total_ms / t.floor_ms:.1f}")
    console.print(table)


def main(large: bool = False, rounds: int = 40, reference: bool = True, json_path: Path | None = None) -> None:
    """Measure the speed of the CPU rasteriser, and print the figures.

    Args:
        large: also time 150,000 surfels at 550 x 802.
        rounds: number of rounds per scene; the fastest one is reported.
        reference: also time the plain-torch reference (half a minute).
        json_path: JSON file for the figures.
    """
    console = Console()
    timings = [time_case(*case, rounds) for case in CASES]
    if large:
        timings.append(time_case(*LARGE, max(5, rounds // 4)))
    report(console, timings)
    middle = timings[1]
    results: dict[str, object] = {"cases": [asdict(t) | {"sum_over_floor": t.total_ms / t.floor_ms} for t in timings]}
    results["omp_wait_policy"] = os.environ["OMP_WAIT_POLICY"]
    results["peak_gflops"] = max(t.peak_gflops for t in timings)
    console.print(f"peak of the matrix product: {results['peak_gflops']:.0f} GFLOP/s")
    whole, raster = training_step_times(middle.num_surfels, middle.width, rounds)
    results |= {"training_step_ms": whole, "step_over_raster": whole / raster}
    console.print(f"training step of surfels, 20k @ 256: {whole:.1f} ms = {whole / raster:.2f} x rasteriser")
    if reference:
        slow = reference_ms(middle.num_surfels, middle.width, 2)
        results |= {"reference_ms": slow, "reference_over_raster": slow / middle.total_ms}
        console.print(
            f"plain-torch reference, 20k @ 256: {slow:.0f} ms (scaled up from {REFERENCE_ROWS} rows) "
            f"= {slow / middle.total_ms:.0f} x rasteriser"
        )
    if json_path is not None:
        write_json(json_path, results)


if __name__ == "__main__":
    tyro.cli(main)
