"""``sage-monocular`` on a tiny turning head: what it learns and keeps; a resumed run equals an unbroken one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.cli import export
from tests.integration.commands import run_here
from tests.tiny_turning import write_tiny_turning

STEPS = 24


def training(capture: Path, out: Path, name: str, *more: object) -> tuple[object, ...]:
    return (
        *("sage-monocular", "--data", capture, "--output-dir", out, "--experiment-name", "e", "--timestamp", name),
        *("--max-num-iterations", STEPS, "--pipeline.model.num-surfels", 300, "--steps-per-save", 8),
        *("--pipeline.steps.reconstruct", 16, "--pipeline.steps.self-supervise", 8, "--preset", "small"),
        *(
            "--pipeline.model.refine-frames",
            True,
            "--save-only-latest-checkpoint",
            False,
            "--vis",
            "tensorboard",
            *more,
        ),
    )


def checkpoint(run: Path) -> dict:
    """The last one."""
    return torch.load(max((run / "nerfstudio_models").iterdir()), weights_only=True)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_turning(tmp_path_factory.mktemp("turning"))


@pytest.fixture(scope="module")
def run(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    run_here("ns-train", *training(capture, out, "t"))
    return out / "e" / "sage-monocular" / "t"


def test_light_exposure_and_corrections_are_learned_and_kept(run: Path) -> None:
    state = checkpoint(run)["pipeline"]
    learner = "_model.learner."
    assert state[f"{learner}avatar.light.coefficients"].any()
    assert state[f"{learner}exposure.log_gain"].any()
    assert state[f"{learner}frame_poses.twist"].any()
    evidence = state[f"{learner}avatar.evidence"]
    assert len(evidence) == len(state[f"{learner}avatar.surfels.triangle"]) and (evidence > 0.03).any()


def test_a_resumed_run_ends_as_an_unbroken_one(capture: Path, run: Path, tmp_path: Path) -> None:
    # Phase 1 lasts 16 steps: step 8 is in the middle of the refinement of the frames.
    whole = run / "nerfstudio_models"
    run_here("ns-train", *training(capture, tmp_path, "b", "--load-dir", whole, "--load-step", 8))
    resumed, unbroken = checkpoint(tmp_path / "e" / "sage-monocular" / "b"), checkpoint(run)
    assert resumed["step"] == unbroken["step"] == STEPS - 1
    for name, value in unbroken["pipeline"].items():
        assert resumed["pipeline"][name].shape == value.shape, name
        if value.numel() and value.is_floating_point():
            apart = float((resumed["pipeline"][name].double() - value.double()).abs().max())
            assert apart < 0.02 * (1e-6 + float(value.double().abs().max())), name


def test_an_exported_avatar_has_the_light_of_the_room(run: Path, tmp_path: Path) -> None:
    export.main(["avatar", str(tmp_path / "a.npz"), "--load-config", str(run / "config.yml")])
    avatar = Avatar.load(tmp_path / "a.npz")
    assert avatar.light is not None and avatar.light.coefficients.any()
    assert len(avatar.evidence) == avatar.surfels.num_surfels


def test_a_driver_need_not_turn(run: Path, tmp_path: Path) -> None:
    still = write_tiny_turning(tmp_path / "still", yaw=0.0, pitch=0.0)
    arguments = ("ns-render", "dataset", "--load-config", run / "config.yml", "--data", still)
    run_here(*arguments, "--output-path", tmp_path / "out", "--rendered-output-names", "rgb")
    assert list((tmp_path / "out").rglob("*.jpg"))
