from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import BinaryIO, Literal, cast

import pytest
import torch
from nerfstudio.utils.eval_utils import eval_setup

from sage_ns.errors import CaptureError, SageError
from sage_ns.plugin.model import SageModel
from tests.integration.commands import run_here, run_program, start_program
from tests.integration.conftest import NUM_STEPS, Run
from tests.tiny_capture import write_tiny_capture


def test_a_training_leaves_config_checkpoint_log_and_what_it_keeps_of_the_capture(tiny_run: Run) -> None:
    names = {path.name for path in tiny_run.folder.iterdir()}
    assert {"config.yml", "capture.npz", "head_model.npz", "nerfstudio_models"} <= names
    assert any(name.startswith("events.out") for name in names)
    assert not [name for name in names if name.startswith(".")], "unfinished files"
    # --max-num-iterations steps, the last one saved, earlier checkpoints gone
    assert [path.name for path in tiny_run.checkpoints.iterdir()] == [f"step-{NUM_STEPS - 1:09d}.ckpt"]


def test_evaluation_during_training_is_logged(tiny_run: Run) -> None:
    logged = _scalars(tiny_run.folder)
    assert "Train Loss" in logged
    assert "Eval Images Metrics Dict (all images)/novel_view_psnr" in logged
    assert "Eval Images Metrics/psnr" in logged
    assert not [name for name in logged if name.endswith("all images)/psnr")], "test images are not for training"


def test_checkpoint_holds_tensors_and_numbers_only(tiny_run: Run) -> None:
    (path,) = tiny_run.checkpoints.iterdir()
    assert torch.serialization.get_unsafe_globals_in_checkpoint(path) == []
    stored = torch.load(path, weights_only=True)
    assert stored["step"] == NUM_STEPS - 1
    assert all(isinstance(value, torch.Tensor) for value in stored["pipeline"].values())


SLOW = pytest.mark.slow  # the same code as sage-multiview's and surfels', apart from their settings


@pytest.mark.parametrize(
    "method",
    ["surfels", "sage-multiview", pytest.param("gaussian-avatars", marks=SLOW), pytest.param("sage-paper", marks=SLOW)],
)
def test_a_resumed_training_goes_on_as_the_unbroken_one(method: str, tmp_path: Path) -> None:
    capture = write_tiny_capture(tmp_path / "capture", width=24, height=32)
    total, border = 80, 40  # resumed in phase 1, to go on into phase 2

    def train(timestamp: str, *resume: object) -> None:
        run_here(
            *("ns-train", method, *resume, "--data", capture, "--output-dir", tmp_path, "--experiment-name", "e"),
            *("--timestamp", timestamp, "--max-num-iterations", total, "--pipeline.model.num-surfels", 300),
            *("--pipeline.model.rebind-every", 25, "--pipeline.model.rebind-until", 1.0),
            *("--pipeline.model.networks", True, "--save-only-latest-checkpoint", False),
            *("--steps-per-save", border, "--vis", "tensorboard", "flame-capture", "--frames", "multi"),
        )

    train("unbroken")
    unbroken = tmp_path / "e" / method / "unbroken"
    train("resumed", "--load-checkpoint", unbroken / "nerfstudio_models" / f"step-{border:09d}.ckpt")
    resumed = tmp_path / "e" / method / "resumed"
    before, a, b = (_checkpoint(*each) for each in ((unbroken, border), (resumed, total - 1), (unbroken, total - 1)))
    assert a["step"] == b["step"] == total - 1
    assert a["schedulers"] == b["schedulers"]
    for name, end in b["pipeline"].items():
        # The last bit of a sum depends on where its terms lie in memory, and Adam makes much of it where gradients are
        # next to nothing: what differs must be little beside what was learnt since.
        start = before["pipeline"][name]
        moved = (end.double() - (start.double() if start.shape == end.shape else 0.0)).norm()
        assert (a["pipeline"][name].double() - end.double()).norm() <= 0.05 * moved, name
    losses, again = _scalars(unbroken)["Train Loss"], _scalars(resumed)["Train Loss"]
    assert set(again) == {step for step in losses if step > border}
    assert all(abs(loss - losses[step]) < 1e-3 for step, loss in again.items())


def test_a_killed_training_can_be_resumed(tmp_path: Path) -> None:
    capture = write_tiny_capture(tmp_path / "capture", width=24, height=32)

    def arguments(timestamp: str, total: int, *resume: object) -> list[object]:
        return [
            *("sage-multiview", *resume, "--data", capture, "--output-dir", tmp_path, "--experiment-name", "e"),
            *("--timestamp", timestamp, "--max-num-iterations", total, "--pipeline.model.num-surfels", 300),
            *("--steps-per-save", 10, "--vis", "tensorboard"),
        ]

    killed = tmp_path / "e" / "sage-multiview" / "killed" / "nerfstudio_models"
    program = start_program("ns-train", *arguments("killed", 5000), cwd=tmp_path, output=tmp_path / "killed.txt")
    deadline = time.monotonic() + 200
    while not list(killed.glob("*.ckpt")) and program.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    program.send_signal(signal.SIGKILL)
    assert program.wait() == -signal.SIGKILL, (tmp_path / "killed.txt").read_text()[-2000:]
    last = _last_step(killed)
    assert 0 < last < 4999
    run_here("ns-train", *arguments("resumed", last + 16, "--load-dir", killed))
    resumed = tmp_path / "e" / "sage-multiview" / "resumed"
    assert _checkpoint(resumed)["step"] == last + 15
    assert min(_scalars(resumed)["Train Loss"]) > last


def test_more_steps_than_before_can_be_asked_for(tiny_run: Run, tmp_path: Path) -> None:
    # The checkpoint's number of surfels counts, not the preset's 30,000.
    run_here(
        *("ns-train", "sage-multiview", "--data", tiny_run.capture, "--output-dir", tmp_path),
        *("--experiment-name", "e", "--timestamp", "t", "--load-dir", tiny_run.checkpoints),
        *("--max-num-iterations", NUM_STEPS + 4, "--pipeline.model.networks", True, "--vis", "tensorboard"),
    )
    before, after = _checkpoint(tiny_run.folder), _checkpoint(tmp_path / "e" / "sage-multiview" / "t")
    assert after["step"] == NUM_STEPS + 3
    means = "_model.learner.avatar.surfels.means"
    assert after["pipeline"][means].shape == before["pipeline"][means].shape
    assert not torch.equal(after["pipeline"][means], before["pipeline"][means])


def test_a_kill_while_saving_leaves_the_last_checkpoint_whole(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save

    def save_half_of_the_second(content: dict, file: BinaryIO) -> None:
        save(content, file)
        if content["step"] > 2:
            file.truncate(1000)
            raise KeyboardInterrupt  # what ns-train lets through at any place

    monkeypatch.setattr(torch, "save", save_half_of_the_second)
    with pytest.raises(SystemExit) as stopped:
        run_here(
            *("ns-train", "surfels", "--data", tiny_run.capture, "--output-dir", tmp_path, "--experiment-name", "e"),
            *("--timestamp", "t", "--max-num-iterations", 9, "--pipeline.model.num-surfels", 50),
            *("--steps-per-save", 2, "--vis", "tensorboard"),
        )
    assert stopped.value.code == 130
    assert _checkpoint(tmp_path / "e" / "surfels" / "t")["step"] == 2


@pytest.mark.parametrize("test_mode", ["test", "inference"])
def test_an_avatar_that_is_loaded_is_not_begun(
    tiny_run: Run, test_mode: Literal["test", "inference"], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(*_: object, **__: object) -> None:
        raise AssertionError("what the checkpoint brings was fitted beforehand")

    monkeypatch.setattr("sage_ns.training.start.pretrain", begin)
    monkeypatch.setattr("sage_ns.avatar.prediction.SurfelNetworks.imitate", begin)
    model = cast(SageModel, eval_setup(tiny_run.config, test_mode=test_mode)[1].model)
    assert torch.equal(
        model.avatar.surfels.means, _checkpoint(tiny_run.folder)["pipeline"]["_model.learner.avatar.surfels.means"]
    )


def test_a_checkpoint_of_something_else_is_refused(tiny_run: Run, tmp_path: Path) -> None:
    content = _checkpoint(tiny_run.folder)
    content["step"] = 1
    del content["pipeline"]["_model.learner.avatar.motion.motion"]
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(SageError, match=r"other\.ckpt: 'motion\.motion': found nothing.*another method or version"):
        run_here(
            *("ns-train", "sage-multiview", "--data", tiny_run.capture, "--output-dir", tmp_path),
            *("--pipeline.model.networks", True),
            *("--load-checkpoint", tmp_path / "other.ckpt", "--max-num-iterations", 5, "--vis", "tensorboard"),
        )


def test_resuming_a_finished_training_does_nothing(tiny_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_here(
        *("ns-train", "sage-multiview", "--data", tiny_run.capture, "--output-dir", tiny_run.folder / "more"),
        *("--load-dir", tiny_run.checkpoints, "--max-num-iterations", NUM_STEPS, "--vis", "tensorboard"),
    )
    assert f"{NUM_STEPS} of {NUM_STEPS} steps: nothing left to train" in capsys.readouterr().out
    assert not (tiny_run.folder / "more").exists()


def test_bad_input_ends_with_a_panel_and_leaves_nothing_behind(tmp_path: Path) -> None:
    capture = write_tiny_capture(tmp_path / "capture", num_timesteps=2)
    missing = next((capture / "images").iterdir())
    missing.unlink()
    code, printed = run_program(
        *("ns-train", "sage-multiview", "--data", "capture", "--output-dir", "runs"),
        cwd=tmp_path,
        output=tmp_path / "printed.txt",
    )
    assert code == 1
    assert "Traceback" not in printed
    end = printed[printed.index("CaptureError") :]
    assert missing.name in end and "missing" in end
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "{tmp}/nowhere"), "not a folder"),
        (("--data", "{tmp}"), "is not a capture"),
        (("--load-dir", "{tmp}/nowhere"), "--load-dir .*nowhere is not a folder"),
        (("--load-dir", "{tmp}"), "is empty"),
        (("--load-dir", "{capture}"), "holds canonical_flame_param.npz"),
        (("--load-dir", "{checkpoints}", "--load-step", "3"), "has no step-000000003.ckpt; give one of step-"),
        (("--load-checkpoint", "{tmp}/nowhere.ckpt"), "nowhere.ckpt: no such file"),
        (("--load-checkpoint", "{capture}/transforms.json"), "transforms.json: not a checkpoint"),
        (("--pipeline.model.sh-degree", "4"), "sh-degree is 4"),
        (("--pipeline.model.num-surfels", "-1"), "num-surfels is -1"),
        (("--pipeline.model.supersampling", "0"), "supersampling is 0"),
        (("--max-num-iterations", "-5"), "max-num-iterations is -5"),
        (("--machine.num-devices", "2"), "num-devices"),
        (("--pipeline.model.lpips-weights", "{tmp}/nowhere.pth"), "nowhere.pth: no such file"),
        (("--pipeline.model.lpips-weights", "{capture}/transforms.json"), "are not torchvision's AlexNet weights"),
    ],
)
def test_impossible_requests_are_refused_before_anything_is_written(
    arguments: tuple[str, ...], message: str, tiny_run: Run, tmp_path: Path
) -> None:
    places = {"tmp": tmp_path, "capture": tiny_run.capture, "checkpoints": tiny_run.checkpoints}
    given = [each.format(**places) for each in arguments]
    if "--data" not in given:
        given += ["--data", str(tiny_run.capture)]
    with pytest.raises(SageError, match=message):
        run_here("ns-train", "surfels", "--output-dir", tmp_path / "runs", "--vis", "tensorboard", *given)
    assert not (tmp_path / "runs").exists()


def test_without_data_the_working_directory_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CaptureError, match="is not a capture"):
        run_here("ns-train", "surfels", "--vis", "tensorboard")


def _checkpoint(run: Path, step: int | None = None) -> dict:
    """The run's checkpoint of ``step``; its only one where no step is given."""
    (path,) = (run / "nerfstudio_models").glob("*" if step is None else f"step-{step:09d}.ckpt")
    return torch.load(path, weights_only=True)


def _last_step(checkpoints: Path) -> int:
    return max(int(path.stem.split("-")[1]) for path in checkpoints.glob("*.ckpt"))


def _scalars(run: Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run))
    events.Reload()
    return {name: {each.step: each.value for each in events.Scalars(name)} for name in events.Tags()["scalars"]}
