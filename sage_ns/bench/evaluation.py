"""Evaluation of a trained avatar on the held-out pictures of a capture, as tracked and with an aligned head."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from sage_ns.avatar.evidence import seen_and_guessed
from sage_ns.bench.result import ImageFigures
from sage_ns.bench.yardstick import FEWEST_PIXELS, TruePicture, Yardstick
from sage_ns.capture.shot import Shot
from sage_ns.evaluation.aligned import Alignment, aligned
from sage_ns.evaluation.figures import ALIGNED, GUESSED, SEEN
from sage_ns.image.metrics import psnr
from sage_ns.plugin.cameras import pinhole_camera
from sage_ns.plugin.model import SageModel
from sage_ns.plugin.pipeline import SagePipeline
from sage_ns.system.progress import tracked


def yardstick_of(pipeline: SagePipeline) -> Yardstick:
    """Return the yardstick of the capture that the pipeline has loaded."""
    model = pipeline.model
    return Yardstick(pipeline.datamanager.train_dataset.record, model.device, model.config.lpips_weights)


@torch.no_grad()
def image_figures(
    pipeline: SagePipeline, split: Literal["val", "test"], yardstick: Yardstick | None = None
) -> tuple[ImageFigures, ...]:
    """Return the figures picture by picture; empty if the capture does not have the split.

    Those named as in ns-eval are what ns-eval averages. Pictures of the test split also have figures that begin with
    ``aligned_``: the head was aligned with the pictures of the moment before it was drawn, see
    `sage_ns.evaluation.aligned`.

    Args:
        yardstick: the capture's, if the caller already has it.
    """
    yardstick = yardstick or yardstick_of(pipeline)
    moments: dict[int, list[tuple[int, Cameras, TruePicture]]] = {}
    pairs = pipeline.datamanager.evaluation_pairs(split)
    with tracked(pairs, f"Finding regions of {split} images") as shown:
        for index, (camera, batch) in enumerate(shown):
            true = yardstick.true_picture(camera, batch)
            moments.setdefault(true.timestep, []).append((index, camera, true))
    measured: dict[int, ImageFigures] = {}
    with tracked(list(moments.values()), f"Measuring moments of {split} images") as shown:
        for pictures in shown:
            trues = [true for _, _, true in pictures]
            found = _aligned(pipeline.model, pictures[0][1], trues) if split == "test" else None
            for index, camera, true in pictures:
                drawn = pipeline.model.get_outputs_for_camera(camera)["rgb"]
                figures = yardstick.figures(drawn, true)
                if found is not None:
                    figures |= _aligned_figures(pipeline.model, yardstick, true, found, figures)
                figures |= _by_evidence(pipeline.model, drawn, true, camera)
                measured[index] = ImageFigures(true.timestep, true.camera, figures, true.yaw, true.moment.strength)
    return tuple(measured[index] for index in range(len(pairs)))


def _by_evidence(model: SageModel, drawn: Tensor, true: TruePicture, camera: Cameras) -> dict[str, float]:
    """Return PSNR of the pixels that training pictures have determined, and of guessed ones; for avatars that know."""
    if len(model.avatar.evidence) == 0:
        return {}
    kinds = seen_and_guessed(model.avatar, true.pinhole, model.motion.at(camera.to(model.device)))
    return {
        f"psnr_{name}": psnr(drawn[pixels], true.picture[pixels])
        for name, pixels in zip((SEEN, GUESSED), kinds, strict=True)
        if int(pixels.sum()) >= FEWEST_PIXELS
    }


def _aligned(model: SageModel, camera: Cameras, trues: list[TruePicture]) -> Alignment:
    model.learner.bake()
    shots = [Shot(true.pinhole, true.picture, true.mask) for true in trues]
    return aligned(model.avatar, model.motion.at(camera.to(model.device)), shots)


def _aligned_figures(
    model: SageModel, yardstick: Yardstick, true: TruePicture, found: Alignment, unaligned: dict[str, float]
) -> dict[str, float]:
    values = unaligned
    if bool(found.shift.any()) or bool(found.turn.any()):
        drawn = model.learner.draw(true.pinhole, found.motion).composite(model.background).clamp(0.0, 1.0)
        values = yardstick.figures(drawn, true)
    moved = {"shift": 1000 * float(found.shift.norm()), "turn": float(torch.rad2deg(found.turn.norm()))}
    return {ALIGNED + name: value for name, value in (values | moved).items()}


def frontal_camera(pairs: Iterable[tuple[Cameras, Any]], yardstick: Yardstick) -> int:
    """Return the index of the camera nearest to the front of the canonical face; -1 if there are no cameras.

    For a moving camera, the mean of its directions is used.

    Args:
        pairs: cameras of the test split with their pictures, which are not read.
    """
    center, forward = yardstick.face_axis()
    directions: dict[int, list[Tensor]] = {}
    for camera, _ in pairs:
        towards = pinhole_camera(camera).center.to(center) - center
        index = int((camera.metadata or {})["camera_index"])
        directions.setdefault(index, []).append(towards / towards.norm())
    frontness = {index: float(torch.stack(each).mean(dim=0) @ forward) for index, each in directions.items()}
    return max(sorted(frontness), key=lambda index: frontness[index], default=-1)
