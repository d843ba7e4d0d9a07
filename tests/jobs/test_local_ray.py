"""Real trainings on a Ray that the command itself starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage_ns.cli.batch import main as batch
from sage_ns.cli.bench import main as bench
from tests.tiny_capture import write_tiny_capture

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def with_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra 'cluster')")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_rows_train_on_a_local_ray(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture = write_tiny_capture(tmp_path / "head", width=24, height=32)
    out = tmp_path / "bench"
    rows = ["--rows", "sage", "sage-no-wrinkles", "surfels-single", "--steps", "4", "--preset", "small"]
    bench([str(capture), "--out", str(out), *rows, "--cluster", "auto", "--cores-per-job", "1"])
    printed = capsys.readouterr().out
    assert "Ray: 1 machine, " in printed and "each with 1 core" in printed and "row 3 of 3: " in printed
    figures = json.loads((out / "results.json").read_text())
    assert set(figures["captures"]["head"]["rows"]) == {"sage", "sage-no-wrinkles", "surfels-single"}
    assert figures["settings"]["device"] == "cpu"
    assert "Training Finished" in (out / "head" / "sage" / "seed-42" / "log.txt").read_text()
    assert not (out / "head" / "sage-no-wrinkles" / "seed-42" / "sage-multiview").exists()  # trained once
    bench([str(capture), "--out", str(out), *rows, "--cluster", "auto"])
    assert capsys.readouterr().out.count("done before") == 3


def test_captures_train_on_a_local_ray(tmp_path: Path) -> None:
    captures = [str(write_tiny_capture(tmp_path / name, width=24, height=32)) for name in ("a", "b")]
    out = tmp_path / "night"
    options = ["--steps", "3", "--preset", "small", "--method", "surfels", "--cluster", "auto", "--cores-per-job", "1"]
    batch([*captures, "--output", str(out), *options])
    report = json.loads((out / "batch.json").read_text())["captures"]
    assert {name: each["state"] for name, each in report.items()} == {"a": "done", "b": "done"}
    assert all((out / name / "avatar.npz").is_file() for name in "ab")
