"""Two suites on a tiny capture, really trained, through the command; in this process, so that imports are paid once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import pytest
from PIL import Image

from sage_ns.bench.job import Job
from sage_ns.bench.loss_curve import read_curve
from sage_ns.bench.rows import ROWS, Row
from sage_ns.bench.run import run_job
from sage_ns.cli.bench import main
from sage_ns.jobs.queue import Ended
from sage_ns.jobs.task import Task
from sage_ns.training.config import FieldSettings
from tests.tiny import tiny_head_model, tiny_params
from tests.tiny_capture import write_tiny_capture

TINY = {
    "pipeline.model.num_surfels": 200,
    "pipeline.model.num_rays": 16,
    "pipeline.model.num_surface_points": 32,
    "pipeline.model.sdf": FieldSettings(
        num_levels=3, log2_table_size=10, coarsest=4, finest=21, hidden=16, num_features=4
    ),
    "pipeline.appearance_rays": 100,
    "pipeline.model.supersampling": 1,
    "pipeline.model.losses.dissimilarity": 0.0,
    "pipeline.steps.reconstruct": 4,
}


@pytest.mark.slow
def test_two_suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    capture = write_tiny_capture(tmp_path / "head", width=24, height=32)
    tiny_params(tiny_head_model(), 6, seed=3, size=0.05).save_vhap(capture / "driving_bank.npz")
    surfels = {name: value for name, value in TINY.items() if "sdf" not in name and "rays" not in name}
    monkeypatch.setitem(ROWS, "surfels-single", Row("surfels", "surfels", trained_with=surfels))  # type: ignore[arg-type]
    monkeypatch.setitem(ROWS, "sage", Row("SAGE", trained_with=TINY))  # type: ignore[arg-type]
    without = {**TINY, "pipeline.model.correction": False}
    monkeypatch.setitem(ROWS, "sage-no-correction", Row("", trained_with=without))  # type: ignore[arg-type]
    trained: list[str] = []

    def here(tasks: Sequence[Task], *_: object) -> Generator[Ended, None, None]:
        for task in tasks:
            job = Job.load(task.folder)
            trained.append(job.row)
            run_job(job)
            yield Ended(task, "", 1.0)

    monkeypatch.setattr("sage_ns.bench.benchmark.run_all", here)
    monkeypatch.setattr("sage_ns.bench.benchmark.write_comparison", lambda *_: False)
    arguments = [str(capture), "--out", str(tmp_path / "out"), "--steps", "10", "--preset", "small"]
    main([*arguments, "--suite", "sparse", "fig11"])
    # The tiny capture has two training cameras; one of them is a variant, and both are the rows of the table.
    assert trained == ["surfels-single", "surfels-1-cameras", "sage", "sage-1-cameras", "sage-no-correction"]
    folder = tmp_path / "out" / "head"
    for name in ("sparse", "fig11"):
        text = (folder / f"{name}.md").read_text()
        assert text.startswith(f"# {name}\n\n10 steps, preset small, full resolution") and "| --- |" in text
        with Image.open(folder / f"{name}.png") as picture:
            assert picture.width > 500 and len(set(picture.convert("L").tobytes())) > 10
    printed = capsys.readouterr().out
    assert "sparse.png" in printed and "fig11.md" in printed
    for row in ("sage", "sage-no-correction"):
        curve = read_curve(folder / row / "seed-42")
        assert curve is not None and curve[0].tolist() == [4, 6, 8] and (curve[1] > 0).all()
    assert "| sage | with correction |" in (folder / "fig11.md").read_text()

    trained.clear()
    main([*arguments, "--suite", "fig11"])
    assert trained == []  # everything was done before


def test_suites_are_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = write_tiny_capture(tmp_path / "head", num_cameras=2, num_timesteps=1, width=24, height=32)
    monkeypatch.setattr("sage_ns.bench.benchmark.run_all", lambda *_: pytest.fail("a row was run"))
    for options, message in (
        (["--suite", "fig51"], "suite 'fig51': choose one of cross, dynamic, fig11, "),
        (["--suite", "fig15", "--rows", "sage"], "--suite and --rows are both given"),
        (["--suite", "fig15"], "the suite fig15 compares numbers of training moments, and the capture has 1"),
        (["--suite", "sparse"], "the suite sparse compares numbers of cameras, and 1 camera films the canonical"),
        (["--suite", "table4"], "the suite table4 compares canonical moments, and only timestep 0"),
    ):
        with pytest.raises(SystemExit):
            main([str(capture), "--out", str(tmp_path / "out"), *options])
        assert message in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "out").exists()
