from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sage_ns.bench.job import Job, Settings
from sage_ns.bench.plan import Planner
from sage_ns.bench.rows import ROWS, Row
from sage_ns.errors import SageError
from tests.tiny_capture import write_tiny_capture


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_capture(tmp_path_factory.mktemp("plan") / "head", width=24, height=32)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that does not change with the methods."""
    table = {
        "plain": Row("as it comes", "surfels"),
        "same": Row("the default, said aloud", "surfels", trained_with={"pipeline.model.sh_degree": 1}),
        "all": Row("all moments", "surfels", "multi"),
        "degree": Row("another training", "surfels", trained_with={"pipeline.model.sh_degree": 2}),
        "drawn": Row("another drawing", "surfels", drawn_with={"pipeline.model.dark_interior": False}),
    }
    for name in reversed(list(ROWS)):  # monkeypatch puts them back from the last to the first
        monkeypatch.delitem(ROWS, name)  # type: ignore[arg-type]
    for name, row in table.items():
        monkeypatch.setitem(ROWS, name, row)  # type: ignore[arg-type]


def plan(out: Path, capture: Path, *names: str, seeds: tuple[int, ...] = (1,), **settings: Any) -> list[Job]:
    return Planner(out, Settings(**{"preset": "small", **settings})).plan([capture], names, seeds)


def test_every_row_names_settings_that_exist(tmp_path: Path, capture: Path) -> None:
    jobs = plan(tmp_path, capture, *ROWS)
    assert [job.row for job in jobs] == list(ROWS)


@pytest.mark.usefixtures("rows")
def test_rows_share_a_training_where_they_can(tmp_path: Path, capture: Path) -> None:
    jobs = {job.row: job for job in plan(tmp_path, capture, *ROWS)}
    shared = {name: job.trained_as for name, job in jobs.items()}
    assert shared == {"plain": "plain", "same": "plain", "all": "all", "degree": "degree", "drawn": "plain"}
    assert jobs["same"].key == jobs["plain"].key
    assert jobs["drawn"].key != jobs["plain"].key and jobs["drawn"].training_key == jobs["plain"].training_key
    (alone,) = plan(tmp_path, capture, "drawn")
    assert alone == jobs["drawn"]
    assert alone.folder == tmp_path / "head" / "drawn" / "seed-1"
    assert alone.training_folder == tmp_path / "head" / "plain" / "seed-1"
    assert alone.drawing_config().get_base_dir() == alone.run_folder == jobs["plain"].run_folder
    model: Any = alone.drawing_config().pipeline.model
    assert model.dark_interior is False


@pytest.mark.usefixtures("rows")
def test_all_rows_leave_out_those_that_equal_another(tmp_path: Path, capture: Path) -> None:
    assert [job.row for job in plan(tmp_path, capture)] == ["plain", "all", "degree", "drawn"]


@pytest.mark.usefixtures("rows")
def test_order(tmp_path: Path, capture: Path) -> None:
    jobs = plan(tmp_path, capture, "degree", "plain", seeds=(3, 1))
    assert [(job.seed, job.row) for job in jobs] == [(3, "degree"), (3, "plain"), (1, "degree"), (1, "plain")]


@pytest.mark.usefixtures("rows")
def test_keys_depend_on_the_relevant_settings(tmp_path: Path, capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(at: Path = capture, seed: int = 1, **settings: Any) -> str:
        return plan(tmp_path / "out", at, "plain", seeds=(seed,), **settings)[0].key

    first = key()
    elsewhere = shutil.copytree(capture, tmp_path / "moved" / "other_name")
    assert key(elsewhere) == first
    assert key(head_model=elsewhere / "head_model.npz") == first
    others = [key(seed=2), key(steps=7), key(downscale_factor=2), key(preset="paper")]
    transforms = elsewhere / "transforms_test.json"
    content = json.loads(transforms.read_text())
    content["frames"] = content["frames"][1:]
    transforms.write_text(json.dumps(content))
    others.append(key(elsewhere))
    monkeypatch.setattr("sage_ns.bench.plan.__version__", "99")
    others.append(key())
    assert len({first, *others}) == 7


def test_jobs_can_be_read_back(tmp_path: Path) -> None:
    for head_model in (None, tmp_path / "head.npz"):
        settings = Settings("small", 5, 2, head_model)
        job = Job(tmp_path / "out", tmp_path / "head", "sage", 3, settings, "sage", "abc", "def")
        job.save()
        assert Job.load(job.folder) == job
    with pytest.raises(SageError, match=r"job\.json: no such file\. It is not a job of a benchmark"):
        Job.load(tmp_path)


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("setting", ["pipeline.model.no_such_thing", "pipelin.model.sh_degree"])
@pytest.mark.parametrize("when", ["trained_with", "drawn_with"])
def test_a_setting_that_does_not_exist(
    setting: str, when: str, tmp_path: Path, capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROWS, "strange", Row("", "surfels", **{when: {setting: 1}}))  # type: ignore[arg-type]
    with pytest.raises(SageError, match=rf"The row 'strange' cannot be set up.*no field '{setting}'"):
        plan(tmp_path, capture, "plain", "strange")
    assert plan(tmp_path, capture, "plain")  # nobody asked for the strange one


def test_variants_share_trainings_as_their_rows_do(tmp_path: Path, capture: Path) -> None:
    names = ("surfels-all-moments", "sage-no-wrinkles-1-cameras", "sage-1-cameras", "sage-2-moments", "sage-multi")
    shared = {job.row: job.trained_as for job in plan(tmp_path, capture, *names)}
    assert shared == {
        "surfels-all-moments": "surfels-multi",
        "sage-no-wrinkles-1-cameras": "sage-1-cameras",
        "sage-1-cameras": "sage-1-cameras",
        "sage-2-moments": "sage-2-moments",
        "sage-multi": "sage-multi",
    }
    keys = {job.training_key for job in plan(tmp_path, capture, *names, "sage", "surfels-single")}
    assert len(keys) == 6


def test_a_variant_that_the_capture_does_not_have(tmp_path: Path, capture: Path) -> None:
    with pytest.raises(SageError, match=r"num_timesteps is 9, but .* 3 timesteps"):
        plan(tmp_path, capture, "sage-9-moments")


@pytest.mark.usefixtures("rows")
def test_a_row_that_needs_a_file_is_skipped_where_there_is_none(
    tmp_path: Path, capture: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Row("with a file", "surfels", beside={"pipeline.model.mouth_prior": ("prior.npz", "other.npz")})
    monkeypatch.setitem(ROWS, "filed", row)  # type: ignore[arg-type]
    with_file = tmp_path / "with"
    shutil.copytree(capture, with_file)
    (with_file / "other.npz").write_text("a prior")
    jobs = Planner(tmp_path, Settings(preset="small")).plan([capture, with_file], ("filed", "degree"), (1, 2))
    names = [(job.capture.name, job.row) for job in jobs if job.seed == 1]
    assert names == [("head", "degree"), ("with", "filed"), ("with", "degree")]
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("Skipped: The row 'filed' needs one of prior.npz, other.npz in") == 1
    (job,) = plan(tmp_path, with_file, "filed")
    model: Any = job.training_config().pipeline.model
    assert model.mouth_prior == with_file / "other.npz"
    (with_file / "other.npz").write_text("another prior")
    (changed,) = plan(tmp_path, with_file, "filed")
    assert changed.training_key != job.training_key
    with pytest.raises(SageError, match="No row can run"):
        plan(tmp_path, capture, "filed")
