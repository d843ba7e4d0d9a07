from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from sage_ns.bench.benchmark import finished
from sage_ns.bench.clock import Clock
from sage_ns.bench.job import Job, Settings
from sage_ns.bench.outside import file_stem, outside_rows, plan_outside, score_outside
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


def test_pictures_also_have_figures_after_alignment_and_by_moment(done: Job) -> None:
    result = finished(done)
    assert result is not None
    for each in result.reenactment:
        plain, aligned = (
            {name for name in each.figures if name.startswith("aligned_") == is_aligned} for is_aligned in (False, True)
        )
        assert aligned == {f"aligned_{name}" for name in (*plain, "shift", "turn")}
        assert {"psnr", "ssim", "psnr_face", "ssim_face", "ms_ssim", "gmsd", "gmsd_face"} <= plain
        assert each.strength is not None and each.strength > 0
        assert 0 <= each.figures["aligned_shift"] <= 6.0 and 0 <= each.figures["aligned_turn"] <= 4.0
    assert not [name for each in result.novel_view for name in each.figures if name.startswith("aligned_")]
    assert result.figures("hardest") == result.figures("all")  # there is one held-out moment


def test_a_trained_avatar_gets_new_figures_without_training(
    done: Job, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("trained")

    before = finished(done)
    monkeypatch.setattr("sage_ns.bench.plan.FIGURES_VERSION", 10_000)
    newer = job_of("small", done.out, capture)
    assert newer.key != done.key and newer.training_key == done.training_key and finished(newer) is None
    monkeypatch.setattr(Clock, "add", refuse)
    result = run_job(newer)
    assert before is not None and result.reenactment == before.reenactment and result.seconds == before.seconds
    before.save(done.folder)


def test_our_own_pictures_as_an_outside_row_have_the_figures_of_our_row(
    done: Job, capture: Path, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    pipeline = trained_pipeline(done)
    for camera, _ in (*pipeline.datamanager.evaluation_pairs("test"), *pipeline.datamanager.evaluation_pairs("val")):
        moment = camera.metadata or {}
        stem = file_stem(int(moment["timestep"]), int(moment["camera_index"]))
        rgb = pipeline.model.get_outputs_for_camera(camera)["rgb"]
        Image.fromarray((255 * rgb).round().byte().numpy()).save(pictures / f"{stem}.png")
    planner = Planner(tmp_path, Settings("small", STEPS))
    (row,) = outside_rows([f"theirs={pictures}"])
    (scored,) = score_outside(planner, [capture], plan_outside(planner, [capture], [row]))
    ours = finished(done)
    assert ours is not None and scored.row == "theirs" and scored.pictures_from == str(pictures)
    assert scored.frontal_camera == ours.frontal_camera and scored.canonical_timestep == ours.canonical_timestep
    for view in ("all", "frontal", "novel_view", "hardest"):
        expected, found = ours.figures(view), scored.figures(view)
        assert set(found) == {name for name in expected if not name.startswith("aligned_")}
        for name, value in found.items():
            assert value == pytest.approx(expected[name], abs=0.3 if "psnr" in name else 0.005), name


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
