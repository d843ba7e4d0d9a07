from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_ns.bench.benchmark import finished
from sage_ns.bench.clock import Clock
from sage_ns.bench.job import Job, Settings
from sage_ns.bench.plan import Planner
from sage_ns.bench.rows import ROWS, Row
from sage_ns.bench.run import run_job, trained_pipeline
from tests.tiny_capture import write_tiny_capture

STEPS = 8
SMALL = {"pipeline.model.num_surfels": 200, "steps_per_save": 2}


@pytest.fixture(scope="module", autouse=True)
def rows() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ROWS, "small", Row("", "surfels", trained_with=SMALL))  # type: ignore[arg-type]
        drawn = {"pipeline.model.dark_interior": False}
        patch.setitem(ROWS, "drawn", Row("", "surfels", trained_with=SMALL, drawn_with=drawn))  # type: ignore[arg-type]
        yield


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_capture(tmp_path_factory.mktemp("run") / "head", width=24, height=32)


def job_of(row: str, out: Path, capture: Path, steps: int = STEPS) -> Job:
    return Planner(out, Settings("small", steps)).plan([capture], [row], [1])[0]


@pytest.fixture(scope="module")
def done(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = job_of("small", tmp_path_factory.mktemp("done"), capture)
    run_job(job)
    return job


def test_figures_are_those_of_the_evaluation(done: Job) -> None:
    result = finished(done)
    assert result is not None
    assert result.num_surfels == 200 and result.num_steps == STEPS
    assert [(each.timestep, each.camera) for each in result.reenactment] == [(3, 0), (3, 1), (3, 2)]
    assert [(each.timestep, each.camera) for each in result.novel_view] == [(0, 2)]
    assert result.frontal_camera == 1  # the tiny capture's cameras stand at -30, 0 and 30 degrees
    assert set(result.seconds) == {"setup", "reconstruct"} and result.peak_bytes > 2**20
    expected = trained_pipeline(done).get_average_eval_image_metrics()
    for name in ("psnr", "ssim", "psnr_face", "ssim_face"):
        assert result.figures("all")[name] == pytest.approx(expected[name], abs=1e-5)
        assert result.figures("novel_view")[name] == pytest.approx(expected[f"novel_view_{name}"], abs=1e-5)


def test_the_run_is_one_of_nerfstudio(done: Job) -> None:
    import yaml

    from sage_ns.plugin.trainer import SageTrainer

    saved = yaml.load((done.run_folder / "config.yml").read_text(), Loader=yaml.Loader)
    assert saved._target is SageTrainer
    assert len(list((done.run_folder / "nerfstudio_models").iterdir())) == 1


def test_an_interrupted_training_goes_on(
    done: Job, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of("small", tmp_path, capture)
    assert job.key == done.key

    def stop(clock: Clock, *_: object) -> None:
        clock.step += 1
        if clock.step == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Clock, "add", stop)
        with pytest.raises(SystemExit) as stopped:
            run_job(job)
    assert stopped.value.code == 130
    assert finished(job) is None
    steps = []
    add = Clock.add
    monkeypatch.setattr(Clock, "add", lambda clock, *rest: (steps.append(clock.step), add(clock, *rest)))
    result = run_job(job)
    assert steps == [5, 6, 7]
    unbroken = finished(done)
    assert unbroken is not None and result.reenactment == unbroken.reenactment


def test_a_row_that_is_only_drawn_differently_trains_nothing(
    done: Job, capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(Clock, "add", refuse)
    job = job_of("drawn", done.out, capture)
    assert job.trained_as == "small"
    result, before = run_job(job), finished(done)
    assert before is not None and result.row == "drawn" and result.seconds == before.seconds
    assert not (job.folder / "surfels").exists()


def test_with_other_settings_it_begins_again(
    done: Job, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of("small", tmp_path, capture, steps=2)
    run_job(job)
    longer = job_of("small", tmp_path, capture, steps=3)
    assert finished(longer) is None
    steps = []
    add = Clock.add
    monkeypatch.setattr(Clock, "add", lambda clock, *rest: (steps.append(clock.step), add(clock, *rest)))
    assert run_job(longer).num_steps == 3 and steps == [0, 1, 2]
    assert finished(longer) is not None and finished(job) is None
