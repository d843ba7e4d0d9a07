"""No training step on CUDA waits for the CPU: torch reports every wait of its own as an error while steps run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sage_ns.capture.checked import CaptureOptions
from sage_ns.plugin.methods import configured
from sage_ns.priors.predictor_clips import read_clips
from sage_ns.priors.predictor_learning import PredictorLearning, PredictorTraining
from sage_ns.priors.sitter import reference_head
from sage_ns.raster import gsplat_backend, gsplat_gaussians
from sage_ns.training.config import FieldSettings
from tests.priors.predicted import SIZE, drawn, fresh, landmarks
from tests.tiny_capture import write_tiny_capture

BORDER = 20


@pytest.mark.gpu
@pytest.mark.parametrize("networks", [False, True], ids=["own", "networks"])
def test_steps_of_both_phases_do_not_wait(networks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = gsplat_backend.rasterize_gsplat

    def drawn(*given: Any, **named: Any) -> Any:
        # gsplat counts the tiles that discs touch, and waits for that number.
        torch.cuda.set_sync_debug_mode("default")
        try:
            return draw(*given, **named)
        finally:
            torch.cuda.set_sync_debug_mode("error")

    overrides = {
        "output_dir": tmp_path,
        "machine.device_type": "cuda",
        "max_num_iterations": BORDER + 8,
        "pipeline.steps.reconstruct": BORDER,
        "pipeline.appearance_rays": 300,
        "pipeline.model.num_surfels": 400,
        "pipeline.model.num_rays": 16,
        "pipeline.model.num_surface_points": 32,
        "pipeline.model.networks": networks,
        "pipeline.model.rebind_every": 0,
        "pipeline.model.sdf": FieldSettings(
            num_levels=3, log2_table_size=10, coarsest=4, finest=21, hidden=16, num_features=4
        ),
    }
    capture = write_tiny_capture(tmp_path / "capture", width=48, height=64)
    config = configured("sage-multiview", capture, preset="small", overrides=overrides)
    config.set_timestamp()
    pipeline: Any = config.pipeline.setup(device="cuda", test_mode="val")
    pipeline.train()
    for first in (0, BORDER):  # what a phase prepares may wait, and so may the first step in it
        steps = range(first, first + 6)
        for step in steps[:2]:
            _step(pipeline, step)
        monkeypatch.setattr("sage_ns.raster.gsplat_backend.rasterize_gsplat", drawn)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for step in steps[2:]:
                _step(pipeline, step)
        finally:
            torch.cuda.set_sync_debug_mode("default")
            monkeypatch.undo()


@pytest.mark.gpu
def test_steps_of_gaussians_do_not_wait_between_densifications(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = gsplat_gaussians.rasterize_gaussians_gsplat

    def drawn(*given: Any, **named: Any) -> Any:
        torch.cuda.set_sync_debug_mode("default")
        try:
            return draw(*given, **named)
        finally:
            torch.cuda.set_sync_debug_mode("error")

    overrides = {"output_dir": tmp_path, "machine.device_type": "cuda", "max_num_iterations": BORDER}
    capture = write_tiny_capture(tmp_path / "capture", width=48, height=64)
    config = configured("gaussian-avatars", capture, preset="small", overrides=overrides)
    config.set_timestamp()
    pipeline: Any = config.pipeline.setup(device="cuda", test_mode="val")
    pipeline.train()
    for step in range(2):
        _step(pipeline, step)
    monkeypatch.setattr("sage_ns.raster.gsplat_gaussians.rasterize_gaussians_gsplat", drawn)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(2, 6):
            _step(pipeline, step)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_steps_of_a_predictor_do_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = gsplat_backend.rasterize_gsplat

    def drawn_freely(*given: Any, **named: Any) -> Any:
        torch.cuda.set_sync_debug_mode("default")
        try:
            return draw(*given, **named)
        finally:
            torch.cuda.set_sync_debug_mode("error")

    points = landmarks().points(reference_head().v_template, reference_head())[:, :2]
    face = (points - points.mean(dim=0)) * torch.tensor([100.0, -100.0]) + torch.tensor([16.0, 20.0])
    capture = CaptureOptions(write_tiny_capture(tmp_path / "clip", 2, 2, model=reference_head()))
    clips = read_clips([capture], lambda picture: face, SIZE.side, 3)
    learning = PredictorLearning(steps=6, clip_steps=6, batch=4)
    training = PredictorTraining(fresh(), reference_head(), drawn(tmp_path / "people"), clips, learning, "cuda")
    for first in (0, 6):
        for step in range(first, first + 2):
            training.step(step)
        monkeypatch.setattr("sage_ns.raster.gsplat_backend.rasterize_gsplat", drawn_freely)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for step in range(first + 2, first + 6):
                training.step(step)
        finally:
            torch.cuda.set_sync_debug_mode("default")
            monkeypatch.undo()


def _step(pipeline: Any, step: int) -> None:
    _, terms, _ = pipeline.get_train_loss_dict(step)
    sum(terms.values(), torch.zeros((), device="cuda")).backward()
    pipeline.zero_grad()
