"""``sage-bench`` end to end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from sage_ns.cli.bench import main
from tests.cli.refusals import assert_refused, output_of_broken_jobs, refuse
from tests.tiny_capture import write_tiny_capture


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_capture(tmp_path_factory.mktemp("bench") / "head", width=24, height=32)


def test_two_rows_then_nothing_left_to_do(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bench"
    common = [str(capture), "--out", str(out), "--steps", "4", "--preset", "small"]
    main([*common, "--rows", "surfels-single", "surfels-multi"])
    printed = capsys.readouterr().out
    assert "row 2 of 2: surfels-multi" in printed and "frontal camera" in printed
    figures = json.loads((out / "results.json").read_text())
    rows = figures["captures"]["head"]["rows"]
    assert list(rows) == ["surfels-single", "surfels-multi"]
    assert all(10 < row["figures"]["all"]["psnr"]["mean"] < 60 for row in rows.values())
    assert "| surfels-multi |" in (out / "table.md").read_text()
    with Image.open(out / "head" / "comparison.png") as picture:
        assert picture.height > 320 and picture.width > 5 * 200
    assert (out / "head" / "strength.png").is_file() and len(figures["captures"]["head"]["strength_curves"]) == 2
    assert "self-reenactment by region" in printed and "after alignment of the head" in printed
    folder = out / "head" / "surfels-single" / "seed-42"
    assert len(json.loads((folder / "metrics.json").read_text())["reenactment"]) == 3
    assert "Training Finished" in (folder / "log.txt").read_text()

    monkeypatch.setattr("sage_ns.jobs.workplace.ThisMachine.start", refuse)
    monkeypatch.setattr("sage_ns.bench.comparison.trained_pipeline", refuse)
    main([*common, "--rows", "surfels-single"])
    printed = capsys.readouterr().out
    assert "row 1 of 1: surfels-single, head, seed 42: done before" in printed
    assert printed.count("surfels-multi") >= 2  # what was done earlier stays in the tables

    pictures = tmp_path / "theirs"
    pictures.mkdir()
    for camera in range(3):
        shutil.copy(capture / "images" / f"00003_{camera:02d}.png", pictures)
    main([*common, "--rows", "surfels-single", "--row", f"theirs={pictures}"])
    assert "row theirs, head: 3 pictures scored" in capsys.readouterr().out
    shutil.rmtree(pictures)
    main([*common, "--rows", "surfels-single"])
    assert "not for theirs: pictures cannot be drawn again" in " ".join(capsys.readouterr().out.split())
    rows = json.loads((out / "results.json").read_text())["captures"]["head"]["rows"]
    assert list(rows) == ["surfels-single", "surfels-multi", "theirs"]
    assert rows["theirs"]["figures"]["all"]["psnr"]["mean"] == pytest.approx(100.0)

    for arguments, message in (
        (["--steps", "5"], "belongs to another benchmark: steps 4, not 5"),
        (["--downscale-factor", "2"], "belongs to another benchmark"),
    ):
        with pytest.raises(SystemExit):
            main([*common, "--rows", "surfels-single", *arguments])
        assert message in capsys.readouterr().out
    moved = write_tiny_capture(tmp_path / "other" / "head", width=24, height=32)
    with pytest.raises(SystemExit):
        main([str(moved), *common[1:], "--rows", "surfels-single"])
    assert "already has a capture 'head'" in capsys.readouterr().out


def test_a_row_that_fails_is_reported(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["--rows", "surfels-single", "surfels-multi"]
    printed = output_of_broken_jobs(main, [str(capture), "--out", str(tmp_path / "out"), *rows], tmp_path, capsys)
    assert printed.count("failed (exit code 3)") == 2
    assert "surfels-single (head, seed 42), surfels-multi (head, seed 42)" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}"], "is not a capture"),
        (["{tmp}/nowhere"], "is not a folder"),
        ([], "There is no capture"),
        (["{capture}", "{capture}"], "Two captures are called 'head'"),
        (["{capture}", "--rows", "surfels-single", "sagge"], "There is no row 'sagge'. Rows: surfels-single, "),
        (["{capture}", "--row", "sage"], "--row sage: give NAME=FOLDER"),
        (["{capture}", "--row", "a={tmp}"], "00003_00.png, 00003_01.png, 00003_02.png are missing"),
        (["{capture}", "--seeds", "-1"], "--seeds is [-1]"),
        (["{capture}", "--rows", "surfels-single", "--steps", "-1"], "--max-num-iterations is -1"),
        (["{capture}", "--rows", "surfels-single", "--downscale-factor", "0"], "downscale"),
        (["{capture}", "--rows", "surfels-single", "--head-model", "{tmp}/no.npz"], "no.npz"),
        (
            ["{capture}", "--rows", "surfels-single", "--out", "{capture}"],
            "is not empty and not a folder of sage-bench",
        ),
        (["{capture}", "--rows", "surfels-single", "--out", "{capture}/head_model.npz"], "is a file"),
    ],
)
def test_bad_input_is_refused_before_anything_is_done(
    arguments: list[str],
    message: str,
    capture: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [each.format(tmp=tmp_path, capture=capture) for each in arguments]
    if "--out" not in given:
        given += ["--out", str(tmp_path / "out")]
    assert_refused(main, given, message, capture, tmp_path / "out", capsys)
