"""Ctrl-C and kill: exit code 130 and one line, nothing that breaks the next run, and resumes that end as unbroken runs.

The slow test kills programs at twenty moments, which a seed chooses.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from sage_ns.bench.clock import Clock
from sage_ns.bench.result import RESULT_FILE, Result
from sage_ns.cli import bench, capture, export, render
from sage_ns.jobs.display import Display
from sage_ns.plugin.trainer import SageTrainer
from tests.integration.commands import run_here, run_killed
from tests.integration.conftest import Run
from tests.integration.killed import count_changes
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar

STEPS = 40
"""Of a training; half of them in phase 1."""


def training(capture: Path, out: Path, name: str, *more: object) -> tuple[object, ...]:
    """Arguments of ns-train for a short training with both phases."""
    return (
        *("sage-multiview", "--data", capture, "--output-dir", out, "--experiment-name", "e", "--timestamp", name),
        *("--max-num-iterations", STEPS, "--pipeline.model.num-surfels", 200, "--steps-per-save", 8),
        *("--pipeline.steps.reconstruct", STEPS // 2, "--pipeline.steps.self-supervise", STEPS // 2),
        *("--pipeline.model.networks", True, "--vis", "tensorboard", *more),
    )


def folder_of(out: Path, name: str) -> Path:
    return out / "e" / "sage-multiview" / name


def only_checkpoint(run: Path) -> Path:
    (path,) = (run / "nerfstudio_models").iterdir()
    return path


def assert_same_end(resumed: Path, unbroken: Path) -> None:
    """Both runs end with the same avatar. Sums may differ in their last bit, which depends on places in memory."""
    a, b = (torch.load(only_checkpoint(run), weights_only=True) for run in (resumed, unbroken))
    assert (a["step"], a["phases"], a["schedulers"]) == (b["step"], b["phases"], b["schedulers"])
    assert a["pipeline"].keys() == b["pipeline"].keys()
    for name, value in b["pipeline"].items():
        assert a["pipeline"][name].shape == value.shape, name
        if value.numel():
            apart = float((a["pipeline"][name].double() - value.double()).abs().max())
            assert apart < 0.02 * (1e-6 + float(value.double().abs().max())), name


def no_leftovers(folder: Path) -> None:
    assert not [path for path in folder.rglob("*") if path.name.startswith(".sage-")]


# ---- Ctrl-C ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unbroken(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a training that nothing interrupted."""
    out = tmp_path_factory.mktemp("unbroken")
    run_here("ns-train", *training(tiny_run.capture, out, "t"))
    return folder_of(out, "t")


@pytest.mark.parametrize("step", [5, 27])
def test_ctrl_c_ends_a_training_with_130_and_it_resumes(
    step: int,
    tiny_run: Run,
    unbroken: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train_iteration = SageTrainer.train_iteration

    def interrupted(trainer: SageTrainer, at: int) -> Any:
        if at == step:
            os.kill(os.getpid(), signal.SIGINT)
        return train_iteration(trainer, at)

    with monkeypatch.context() as patch:
        patch.setattr(SageTrainer, "train_iteration", interrupted)
        with pytest.raises(SystemExit) as stopped:
            run_here("ns-train", *training(tiny_run.capture, tmp_path, "a"))
    assert stopped.value.code == 130
    run = folder_of(tmp_path, "a")
    line = f"Interrupted. Repeat the command with --load-dir {run / 'nerfstudio_models'} to go on."
    assert line in capsys.readouterr().out
    assert only_checkpoint(run).name == f"step-{step:09d}.ckpt"
    no_leftovers(tmp_path)
    run_here("ns-train", *training(tiny_run.capture, tmp_path, "b", "--load-dir", run / "nerfstudio_models"))
    assert_same_end(folder_of(tmp_path, "b"), unbroken)


BENCH = ("--rows", "surfels-single", "--steps", "12", "--preset", "small")


@pytest.mark.slow
def test_ctrl_c_ends_a_benchmark_with_130_and_the_same_command_goes_on(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(tiny_run.capture), "--out", str(tmp_path / "bench"), "--rows", "surfels-single", "--steps", "400"]
    folder = tmp_path / "bench" / tiny_run.capture.name / "surfels-single" / "seed-42"
    update = Display.update

    def interrupted(display: Display, now: bool = False) -> None:
        update(display, now)
        clock = Clock.read(folder)
        if clock is not None and clock.step > 1:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Display, "update", interrupted)
        with pytest.raises(SystemExit) as stopped:
            bench.main(arguments)
    if (folder / RESULT_FILE).is_file():
        pytest.skip("the training ended before the signal")
    assert stopped.value.code == 130
    assert "Interrupted. The same command resumes here." in capsys.readouterr().out
    first = int(only_checkpoint(folder / "surfels" / "training").stem.removeprefix("step-"))
    bench.main(arguments)
    assert "row 1 of 1: surfels-single" in capsys.readouterr().out
    result = Result.load(folder)
    assert result is not None and result.num_steps == 400 and first < 399
    assert "Continuing from" in (folder / "log.txt").read_text()
    no_leftovers(tmp_path)


# ---- kill -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Program:
    """A command that is killed, and what it leaves when nothing disturbs it."""

    main: str
    """function to call with the arguments, as package.module:name; "ns-train" for that command"""
    arguments: Callable[[Path], list[object]]
    """its arguments, by the folder that it writes into"""


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def avatar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("avatar") / "avatar.npz"
    tiny_avatar(tiny_head_model(), 60).save(path)
    return path


def _writing_programs(avatar: Path) -> dict[str, tuple[Program, Callable[[list[str]], None]]]:
    """Programs that write files, by name, with the function that runs them in this process."""
    flags = ["--width", "30", "--height", "44", "--num-cameras", "4", "--num-train-timesteps", "1", "--workers", "1"]
    flags += ["--num-test-timesteps", "1", "--num-driver-timesteps", "2", "--supersampling", "1", "--hair", "none"]
    given = ["--load-config", avatar]
    drawn = [*given, "--width", "48", "--height", "48", "--end", "3"]
    moments = ["--timesteps", "0", "3", "--overwrite"]

    def program(room: str, arguments: Callable[[Path], list[object]]) -> Program:
        return Program(f"sage_ns.cli.{room}:main", arguments)

    return {
        "synthesise": (program("capture", lambda out: ["synthesize", out / "person", *flags]), capture.main),
        "export avatar": (
            program("export", lambda out: ["avatar", out / "a.npz", *given, "--overwrite"]),
            export.main,
        ),
        "export splats": (
            program("export", lambda out: ["splats", *given, "--output-dir", out / "s", *moments]),
            export.main,
        ),
        "render pictures": (program("render", lambda out: [*drawn, "--output", out / "p"]), render.main),
        "render a film": (program("render", lambda out: [*drawn, "--output", out / "a.gif"]), render.main),
    }


# Twenty kills: nine of trainings, nine of programs that write files, two of benchmarks.


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_killed_trainings_end_as_an_unbroken_one(tiny_run: Run, unbroken: Path, tmp_path: Path) -> None:
    random = Random(20)
    trainings = [
        *(("step", random.randrange(1, STEPS // 2)) for _ in range(2)),
        *(("step", random.randrange(STEPS // 2, STEPS)) for _ in range(2)),
        *(("checkpoint", number) for number in (1, 2, 4)),
        *(("file", random.randrange(1, 30)) for _ in range(2)),
    ]
    assert len(trainings) == 9
    for number, (moment, count) in enumerate(trainings):
        out = tmp_path / f"training-{number}"
        out.mkdir()
        run_killed("ns-train", training(tiny_run.capture, out, "a"), out, moment, count)
        _resumed_training(tiny_run.capture, out)
        assert_same_end(folder_of(out, "b"), unbroken)
        shutil.rmtree(out)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_programs_leave_nothing_and_write_the_same_when_repeated(avatar: Path, tmp_path: Path) -> None:
    random, done = Random(21), 0
    for name, (program, here) in _writing_programs(avatar).items():
        whole = tmp_path / "whole" / name
        whole.mkdir(parents=True)
        arguments = [str(each) for each in program.arguments(whole)]
        changes = count_changes(whole, lambda here=here, given=arguments: here(given))
        for _ in range(2 if name != "export avatar" else 1):
            out = tmp_path / "killed" / name
            out.mkdir(parents=True)
            run_killed(program.main, program.arguments(out), out, "file", random.randrange(1, changes + 1))
            here([*(str(each) for each in program.arguments(out)), *(["--overwrite"] if name == "synthesise" else [])])
            assert _contents(out) == _contents(whole), name
            no_leftovers(out)
            shutil.rmtree(out)
            done += 1
    assert done == 9


def _resumed_training(capture: Path, out: Path) -> None:
    """Goes on from the last checkpoint of the killed run, or begins anew where there is none."""
    checkpoints = folder_of(out, "a") / "nerfstudio_models"
    resume = ("--load-dir", checkpoints) if list(checkpoints.glob("*.ckpt")) else ()
    run_here("ns-train", *training(capture, out, "b", *resume))
    shutil.rmtree(folder_of(out, "a"), ignore_errors=True)
    no_leftovers(out)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_benchmarks_end_as_an_undisturbed_one(tiny_run: Run, tmp_path: Path) -> None:
    data, random = tiny_run.capture, Random(22)
    results, changes = [], 2
    for name in ("whole", "first", "second"):
        out = tmp_path / "bench" / name
        out.mkdir(parents=True)
        arguments = [str(data), "--out", str(out), *BENCH]
        if name == "whole":
            changes = count_changes(out, lambda given=arguments: bench.main(given))
        else:
            run_killed("sage_ns.cli.bench:main", arguments, out, "file", random.randrange(1, changes + 1))
            bench.main(arguments)
        result = Result.load(out / data.name / "surfels-single" / "seed-42")
        assert result is not None
        results.append(result)
        no_leftovers(out)
    assert results[0].reenactment == results[1].reenactment == results[2].reenactment


def test_a_kill_while_exporting_leaves_the_old_file_and_nothing_that_matters(avatar: Path, tmp_path: Path) -> None:
    program, here = _writing_programs(avatar)["export avatar"]
    arguments = [str(each) for each in program.arguments(tmp_path)]
    here(arguments)
    old = _contents(tmp_path)
    run_killed(program.main, arguments, tmp_path, "file", 2)
    assert _contents(tmp_path).items() >= old.items()
    here(arguments)
    assert _contents(tmp_path) == old
