"""Render the synthetic person: one job per moment, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from sage_ns.capture.writer import picture_name
from sage_ns.synthetic.render import Person, StudioCamera, build_scene, render
from sage_ns.system.processes import children_ignore_interrupts, die_with

MAX_WORKERS = 8


@dataclass(frozen=True)
class Job:
    """One moment to render: the posed rig (metres), its expression, and the cameras by index."""

    timestep: int
    posed: Float[np.ndarray, "num_vertices 3"]
    expr: Float[np.ndarray, "num_expression"]
    cameras: dict[int, StudioCamera]
    smear: tuple[Float[np.ndarray, "num_vertices 3"], ...] = ()
    """Further instants of the exposure: the rig (metres) at each; none = a sharp picture."""
    gain: float = 1.0
    """Exposure: factor on the linear light of the head."""


def _film_moment(folder: Path, person: Person, job: Job) -> tuple[int, Float[np.ndarray, "num_fine 3"]]:
    scene = build_scene(person, job.posed, job.expr)
    exposed = {index: render(scene, camera, person, job.gain) for index, camera in job.cameras.items()}
    for posed in job.smear:
        during = build_scene(person, posed, job.expr)
        for index, camera in job.cameras.items():
            exposed[index] += render(during, camera, person, job.gain)
    for index, picture in exposed.items():
        pixels = np.round(255.0 * picture / (1 + len(job.smear))).astype(np.uint8)
        name = picture_name(job.timestep, index)
        Image.fromarray(pixels[..., :3]).save(folder / "images" / name)
        Image.fromarray(pixels[..., 3]).save(folder / "fg_masks" / name)
    return job.timestep, scene.surface


_WORKER: dict[str, tuple[Path, Person]] = {}


def _begin(folder: Path, person: Person, parent: int) -> None:
    import torch

    die_with(parent)  # a worker would wait for its next moment forever
    torch.set_num_threads(1)
    _WORKER["task"] = (folder, person)


def _run(job: Job) -> tuple[int, Float[np.ndarray, "num_fine 3"]]:
    return _film_moment(*_WORKER["task"], job)


def film(
    folder: Path, person: Person, jobs: list[Job], workers: int | None, progress: Callable[[int, int], None]
) -> list[Float[np.ndarray, "num_fine 3"]]:
    """Render all jobs and write `images/` and `fg_masks/`.

    Args:
        folder: Folder of the capture.
        person: The synthetic person.
        jobs: Moments, numbered 0, 1, ....
        workers: Number of processes; None uses one per core, up to `MAX_WORKERS`; 1 renders in this process.
        progress: Called with (pictures done, pictures in total).

    Returns:
        The true surface (metres) of every moment.
    """
    for name in ("images", "fg_masks"):
        (folder / name).mkdir()
    total = sum(len(job.cameras) for job in jobs)
    done = 0
    surfaces: dict[int, np.ndarray] = {}
    progress(done, total)
    available = min(os.cpu_count() or 1, MAX_WORKERS)
    workers = min(available if workers is None else workers, len(jobs))
    if workers <= 1:
        for job in jobs:
            surfaces[job.timestep] = _film_moment(folder, person, job)[1]
            done += len(job.cameras)
            progress(done, total)
        return [surfaces[job.timestep] for job in jobs]
    context = multiprocessing.get_context("spawn")
    begin = (folder, person, os.getpid())
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=begin) as pool:
        try:
            with children_ignore_interrupts():  # which raises at its end what came in its middle
                waiting = {pool.submit(_run, job): job for job in jobs}
            for future in as_completed(waiting):
                timestep, surface = future.result()
                surfaces[timestep] = surface
                done += len(waiting[future].cameras)
                progress(done, total)
        except BaseException:  # Ctrl-C too
            _stop(pool)
            raise
    return [surfaces[job.timestep] for job in jobs]


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool at once; what they were writing lies in a folder that is thrown away.

    ``shutdown`` alone lets them finish, and in Python 3.11 can wait for ever for one that never hears of it.
    """
    for process in list((pool._processes or {}).values()):
        process.kill()
