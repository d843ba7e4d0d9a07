"""Cost of a training step, part by part.

    python -m sage_ns.bench.speed.training_step --data CAPTURE [--head-model FILE] [--preset small] [--json-path FILE]

Each part runs separately, forward and backward, on its inputs in the step; the last row is the whole step. Parts are
the networks (field, appearance and shape at every surfel), the drawing (placing, colours, rasteriser), the losses of
the image, rays (volume rendering; also as rays of a posed moment, through each backward warp, which are not part of
the step), points (surfels on the surface), and the optimiser. If the whole step takes longer
than the sum, the difference is for loading the picture, the hinge losses and the summation of gradients; if it takes
less time, parts share work.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sage_ns.field.warp.registry import PosedMoment, warp_maker
from sage_ns.raster.supersampling import averaged, downsampled
from sage_ns.system.files import write_json
from sage_ns.system.parallel import cores_for_kernels
from sage_ns.system.progress import tracked
from sage_ns.training import losses

FIRST_STEP = 0.5
"""Fraction of the training at which steps are measured: all losses are active, and all grid levels are in use."""


def main(
    data: Path,
    method: str = "sage-multiview",
    head_model: Path | None = None,
    preset: Literal["auto", "paper", "small"] = "auto",
    networks: bool | None = None,
    downscale_factor: int = 1,
    num_steps: int = 15,
    json_path: Path | None = None,
) -> None:
    """Measure the cost of a training step, and print the figures.

    Args:
        data: folder of the capture.
        method: method of ns-train.
        head_model: head model file; by default searched near the capture.
        preset: preset of sizes.
        networks: predict the surfels' attributes by networks; by default the preset decides.
        downscale_factor: shrink the pictures by this factor.
        num_steps: number of timed steps; the median is reported.
        json_path: JSON file for the figures.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(data, method, head_model, preset, networks, downscale_factor, Path(folder))
        figures = measure(trainer, num_steps)
    report(Console(width=100), figures)
    if json_path is not None:
        write_json(json_path, figures)


def _trainer(
    data: Path,
    method: str,
    head_model: Path | None,
    preset: str,
    networks: bool | None,
    downscale_factor: int,
    folder: Path,
) -> Any:
    from sage_ns.plugin.methods import configured

    overrides = {
        "output_dir": folder,
        "vis": "tensorboard",
        "pipeline.model.networks": networks,
        "pipeline.datamanager.dataparser.downscale_factor": downscale_factor,
    }
    config = configured(method, data, head_model, preset, overrides)
    config.set_timestamp()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    return trainer


def measure(trainer: Any, num_steps: int) -> dict[str, float]:
    """Return milliseconds by part, and of the whole step as "whole step"."""
    on_cpu = trainer.pipeline.model.device.type == "cpu"
    first = round(FIRST_STEP * trainer.config.max_num_iterations)
    times: dict[str, list[float]] = {}
    cores = cores_for_kernels() if on_cpu else nullcontext()
    with cores, tracked(range(first - 3, first + num_steps), "Measuring steps") as shown:
        for step in shown:
            for name, part in _parts(trainer, step).items():
                taken = _timed(part, on_cpu)
                if step >= first:
                    times.setdefault(name, []).append(1e3 * taken)
    return {name: median(each) for name, each in times.items()}


def _timed(part: Callable[[], object], on_cpu: bool) -> float:
    if not on_cpu:
        torch.cuda.synchronize()
    start = time.perf_counter()
    part()
    if not on_cpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _parts(trainer: Any, step: int) -> dict[str, Callable[[], object]]:
    """Return each part of a step as a function that runs only this part, forward and backward."""
    pipeline = trainer.pipeline
    phase, learner = pipeline.schedule.at(step), pipeline.model.learner
    shot = pipeline.datamanager.shot(step)
    motion = learner.motion_of(shot)
    factor = learner.config.supersampling
    with torch.no_grad():
        prediction = learner.predict()
        own = learner.attributes(prediction)
        drawn = learner.draw_fine(shot.camera, motion, own)
    parts: dict[str, Callable[[], object]] = {}
    if prediction is not None:
        parts["networks"] = lambda: _backward(_tensors(learner.predict().attributes))

    leaves = replace(own, **{name: _leaf(value) for name, value in vars(own).items()})
    parts["drawing"] = lambda: _backward(_tensors(learner.draw_fine(shot.camera, motion, leaves)))
    images = replace(drawn, **{name: _leaf(value) for name, value in vars(drawn).items() if value is not None})

    def image_losses() -> None:
        rendered = averaged(images.color, factor)
        terms = learner.weigh(losses.photometric(rendered, shot.picture) | losses.surface(images))
        sum(terms.values(), torch.zeros((), device=rendered.device)).backward()

    parts["image losses"] = image_losses
    if phase.supervision is not None:
        frames = learner.frames(learner.motion.canonical())
        small = downsampled(drawn, factor)

        def losses_of(make: Callable[[], dict[str, Callable[[], Tensor]]]) -> Callable[[], None]:
            return lambda: sum(learner.weigh(make()).values(), torch.zeros((), device=learner.device)).backward()

        picture = step, shot.camera, shot.picture, shot.mask, learner.background, small
        parts["rays"] = losses_of(lambda: phase.supervision.ray_terms(*picture))
        moment = PosedMoment(learner.frames(motion), frames, torch.eye(4, device=learner.device))
        for kind in ("rigid", "rig"):
            warp = warp_maker(kind)(moment)
            parts[f"rays, {kind} warp"] = losses_of(partial(phase.supervision.ray_terms, *picture, warp))
        parts["points"] = losses_of(lambda: phase.supervision.point_terms(step, learner.surfels, leaves, frames))

    def whole() -> None:
        trainer.optimizers.zero_grad_all()
        _, terms, _ = pipeline.get_train_loss_dict(step)
        sum(terms.values(), torch.zeros((), device=learner.device)).backward()
        trainer.optimizers.optimizer_step_all()

    return parts | {"optimiser": trainer.optimizers.optimizer_step_all, "whole step": whole}


def _leaf(value: Tensor) -> Tensor:
    return value.detach().clone().requires_grad_()


def _tensors(holder: object) -> list[Tensor]:
    return [value for value in vars(holder).values() if isinstance(value, Tensor) and value.requires_grad]


def _backward(tensors: list[Tensor]) -> None:
    torch.autograd.backward(tensors, [torch.ones_like(tensor) for tensor in tensors])


def report(console: Console, figures: dict[str, float]) -> None:
    """Print the table."""
    table = Table(title="A training step, forward and backward", title_justify="left")
    for heading in ("", "milliseconds", "share of the step"):
        table.add_column(heading, justify="right" if heading else "left")
    whole = figures["whole step"]
    for name, taken in figures.items():
        table.add_row(name, f"{taken:.1f}", f"{taken / whole:.0%}", end_section=name == "optimiser")
    console.print(table)


if __name__ == "__main__":
    tyro.cli(main)
