"""``sage-oneshot`` on one tiny picture: both phases, what it keeps, and that a resumed run equals an unbroken one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.capture.pseudo_views import NewView, write_bundle
from sage_ns.cli import export
from sage_ns.errors import SageError
from sage_ns.plugin.methods import configured
from sage_ns.plugin.scripted_training import train
from tests.tiny_turning import write_tiny_turning

RECONSTRUCT, SELF_SUPERVISE = 12, 6


def trained(capture: Path, out: Path, name: str, **changed: object) -> Path:
    """Train, and return the run's folder."""
    settings = {
        "output_dir": out,
        "experiment_name": "e",
        "timestamp": name,
        "pipeline.model.num_surfels": 300,
        "pipeline.model.residual_steps": 5,
        "pipeline.steps.reconstruct": RECONSTRUCT,
        "pipeline.steps.self_supervise": SELF_SUPERVISE,
        "steps_per_save": 8,
        "save_only_latest_checkpoint": False,
        "vis": "tensorboard",
        **changed,
    }
    return train(configured("sage-oneshot", capture, preset="small", overrides=settings)).parent


def checkpoint(run: Path) -> dict:
    """The last one."""
    return torch.load(max((run / "nerfstudio_models").iterdir()), weights_only=True)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_turning(tmp_path_factory.mktemp("photo"), num_turning=1)


@pytest.fixture(scope="module")
def run(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(capture, tmp_path_factory.mktemp("runs"), "t")


def test_evidence_is_measured_on_the_picture_alone(run: Path) -> None:
    state = checkpoint(run)["pipeline"]
    evidence = state["_model.learner.avatar.evidence"]
    triangle = state["_model.learner.avatar.surfels.triangle"]
    assert len(evidence) == len(triangle) == 300
    guessed = evidence < 0.03
    assert 0.2 < guessed.float().mean() < 0.9, "pseudo views show all sides, but they are no evidence"


def test_a_resumed_run_ends_as_an_unbroken_one(capture: Path, run: Path, tmp_path: Path) -> None:
    again = trained(capture, tmp_path, "b", load_dir=run / "nerfstudio_models", load_step=8)
    resumed, unbroken = checkpoint(again), checkpoint(run)
    assert resumed["step"] == unbroken["step"] == RECONSTRUCT + SELF_SUPERVISE - 1
    for name, value in unbroken["pipeline"].items():
        if value.numel() and value.is_floating_point():
            apart = float((resumed["pipeline"][name].double() - value.double()).abs().max())
            assert apart < 0.02 * (1e-6 + float(value.double().abs().max())), name


def test_the_avatar_can_be_exported(run: Path, tmp_path: Path) -> None:
    export.main(["avatar", str(tmp_path / "a.npz"), "--load-config", str(run / "config.yml")])
    avatar = Avatar.load(tmp_path / "a.npz")
    assert avatar.surfels.num_surfels == 300 and bool(avatar.guessed().any())


def test_pseudo_views_of_a_folder_are_trained_on_and_their_licence_is_printed(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pose = np.array([[0.0, 0, 1, 1.0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]])
    image, mask = np.full((40, 32, 3), 90, dtype=np.uint8), np.full((40, 32), 255, dtype=np.uint8)
    view = NewView(image, mask, pose, 108.8, 108.8, 16.0, 20.0)
    bundle = write_bundle(tmp_path / "views", [view], "somebody", "for research only")
    changed = {"pipeline.steps.reconstruct": 2, "pipeline.steps.self_supervise": 0}
    trained(capture, tmp_path, "t", **{"pipeline.pseudo_views": str(bundle), **changed})
    assert "1 pseudo views by somebody, licence: for research only" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"pipeline.pseudo_views": "nowhere"}, "nowhere is no folder of pseudo views"),
        ({"pipeline.model.complete_from": "nowhere.npz"}, "nowhere.npz"),
    ],
)
def test_bad_settings_are_refused(capture: Path, tmp_path: Path, setting: dict, message: str) -> None:
    with pytest.raises(SageError, match=message):
        trained(capture, tmp_path, "t", **setting)
