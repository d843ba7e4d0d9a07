"""Evaluation of a trained avatar on the held-out pictures of a capture."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.bench.result import ImageFigures
from sage_ns.plugin.cameras import pinhole_camera
from sage_ns.plugin.model import SageModel
from sage_ns.plugin.pipeline import SagePipeline
from sage_ns.rig.front import face_direction
from sage_ns.system.progress import tracked


@torch.no_grad()
def image_figures(pipeline: SagePipeline, split: Literal["val", "test"]) -> tuple[ImageFigures, ...]:
    """Return the figures that ns-eval averages, picture by picture; empty if the capture does not have the split."""
    model = pipeline.model
    measured = []
    for camera, batch in tracked(pipeline.datamanager.evaluation_pairs(split), f"Measuring {split} images"):
        outputs = model.get_outputs_for_camera(camera)
        figures, _ = model.get_image_metrics_and_images(outputs, {**batch, "face": model.face_pixels(camera)})
        metadata = camera.metadata or {}
        measured.append(ImageFigures(int(metadata["timestep"]), int(metadata["camera_index"]), figures))
    return tuple(measured)


@torch.no_grad()
def frontal_camera(pipeline: SagePipeline) -> int:
    """Return the index of the test camera nearest to the front of the canonical face; -1 without a test split.

    For a moving camera, the mean of its directions is used.
    """
    model = pipeline.model
    center, forward = face_axis(model)
    directions: dict[int, list[Tensor]] = {}
    for camera, _ in pipeline.datamanager.evaluation_pairs("test"):
        towards = pinhole_camera(camera).center.to(center) - center
        index = int((camera.metadata or {})["camera_index"])
        directions.setdefault(index, []).append(towards / towards.norm())
    frontness = {index: float(torch.stack(each).mean(dim=0) @ forward) for index, each in directions.items()}
    return max(sorted(frontness), key=lambda index: frontness[index], default=-1)


def face_axis(model: SageModel) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Return the centre of the canonical head [metres] and the unit direction in which its face looks."""
    motion = model.motion.canonical()
    return model.rig.vertices(motion).mean(dim=0), face_direction(motion)
