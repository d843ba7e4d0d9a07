"""Comparison picture: the unseen moments with the largest errors, as each method draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.bench.job import Job
from sage_ns.bench.result import ImageFigures, Result
from sage_ns.bench.rows import MULTI, SAGE, SINGLE
from sage_ns.bench.run import trained_pipeline

COMPARED: Mapping[str, str] = {SINGLE: "surfels single", MULTI: "surfels multi", SAGE: "SAGE"}
"""Compared rows and the titles of their columns; the errors of the first one choose the moments."""

NUM_FRAMES = 5
PICTURE_HEIGHT = 320


def hardest(images: Sequence[ImageFigures], count: int = NUM_FRAMES) -> list[ImageFigures]:
    """Return the images with the lowest PSNR of the face (or of all pixels, if no image has it), one per moment."""
    name = "psnr_face" if any("psnr_face" in each.figures for each in images) else "psnr"
    chosen: dict[int, ImageFigures] = {}
    for each in sorted((each for each in images if name in each.figures), key=lambda each: each.figures[name]):
        chosen.setdefault(each.timestep, each)
    return list(chosen.values())[:count]


def write_comparison(path: Path, jobs: Mapping[str, tuple[Job, Result]]) -> bool:
    """Draw the hardest moments of self-reenactment: truth, the compared rows, and their errors.

    Args:
        path: PNG file to write.
        jobs: finished jobs by row, of one capture and seed; rows of :data:`COMPARED` that are missing are left out.

    Returns:
        whether a picture was drawn; False without jobs or images.
    """
    from sage_ns.video.contact_sheet import SheetRow, error_map, head_box, write_contact_sheet

    shown = [row for row in COMPARED if row in jobs]
    frames = hardest(jobs[shown[0]][1].reenactment) if shown else []
    if not frames:
        return False
    drawn: dict[str, list[Float[Tensor, "h w 3"]]] = {}
    truths: list[Float[Tensor, "h w 3"]] = []
    boxes = []
    for row in shown:
        drawn[row], truths, background = _draw(jobs[row][0], frames)
        boxes = [head_box(truth, background) for truth in truths]
    rows = []
    for index, frame in enumerate(frames):
        truth, renders = truths[index], [drawn[row][index] for row in shown]
        pictures = [truth, *renders, *(error_map(render, truth) for render in renders)]
        scores = ", ".join(f"{COMPARED[row]} {_score(jobs[row][1], frame)}" for row in shown)
        title = f"timestep {frame.timestep}, camera {frame.camera}; PSNR of the face [dB]: {scores}"
        rows.append(SheetRow(title, [picture[boxes[index]] for picture in pictures]))
    names = [COMPARED[row] for row in shown]
    write_contact_sheet(path, ("truth", *names, *(f"{name}, error (x4)" for name in names)), rows, PICTURE_HEIGHT)
    return True


def _score(result: Result, frame: ImageFigures) -> str:
    for each in result.reenactment:
        if (each.timestep, each.camera) == (frame.timestep, frame.camera):
            return f"{each.figures['psnr_face']:.1f}" if "psnr_face" in each.figures else "-"
    return "-"


@torch.no_grad()
def _draw(
    job: Job, frames: Sequence[ImageFigures]
) -> tuple[list[Float[Tensor, "h w 3"]], list[Float[Tensor, "h w 3"]], Float[Tensor, "3"]]:
    """Return the renderings of each frame by ``job``'s avatar, the true pictures, and the background, on the CPU."""
    pipeline = trained_pipeline(job)
    wanted = {(frame.timestep, frame.camera): index for index, frame in enumerate(frames)}
    renders: dict[int, Tensor] = {}
    truths: dict[int, Tensor] = {}
    for camera, batch in pipeline.datamanager.evaluation_pairs("test"):
        metadata = camera.metadata or {}
        index = wanted.get((int(metadata["timestep"]), int(metadata["camera_index"])))
        if index is not None:
            renders[index] = pipeline.model.get_outputs_for_camera(camera)["rgb"].cpu()
            truths[index] = batch["image"][..., :3].cpu()
    order = range(len(frames))
    return [renders[i] for i in order], [truths[i] for i in order], pipeline.model.background.cpu()
