"""``sage-batch`` end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sage_ns
from sage_ns.cli.batch import main
from tests.cli.refusals import assert_refused, output_of_broken_jobs, refuse
from tests.tiny_capture import write_tiny_capture

COMMON = ["--steps", "3", "--preset", "small"]


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good captures, and one without a picture."""
    folder = tmp_path_factory.mktemp("captures")
    for name in ("good", "other", "bad"):
        write_tiny_capture(folder / name, width=24, height=32)
    next((folder / "bad" / "images").iterdir()).unlink()
    return folder


@pytest.mark.slow
def test_two_good_captures_and_a_bad_one(
    captures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "night"
    command = [*(str(captures / name) for name in ("bad", "good", "other")), "--output", str(out), *COMMON]
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--export", "avatar", "splats", "--method", "surfels"])
    printed = capsys.readouterr().out
    assert stopped.value.code == 1 and "These captures failed: bad." in printed
    assert printed.index("bad capture bad: ") < printed.index("capture 1 of 2: good: ")
    report = json.loads((out / "batch.json").read_text())["captures"]
    assert {name: each["state"] for name, each in report.items()} == {"bad": "failed", "good": "done", "other": "done"}
    assert "00000_00.png" in report["bad"]["reason"] or "images" in report["bad"]["reason"]
    assert report["good"]["seconds"] > 0
    assert report["good"]["result"]["exports"] == {"avatar": "good/avatar.npz", "splats": "good/splats/canonical.ply"}
    assert sage_ns.Avatar.load(out / "good" / "avatar.npz").surfels.num_surfels > 0
    assert (out / "other" / "splats" / "canonical.ply").read_bytes()[:3] == b"ply"
    assert (out / "other" / "contact_sheet.png").is_file() and not (out / "bad").exists()
    table = (out / "batch.md").read_text()
    assert "3 captures: 2 done, 1 failed, 0 waiting" in table and "| other | done |" in table

    monkeypatch.setattr("sage_ns.jobs.workplace.ThisMachine.start", refuse)
    main([str(captures / "good"), *command[3:], "--export", "avatar", "splats", "--method", "surfels"])
    assert "capture 1 of 1: good: done before" in capsys.readouterr().out
    again = json.loads((out / "batch.json").read_text())["captures"]
    assert again["good"] == report["good"] and again["other"] == report["other"]

    for arguments, message in (
        (["--method", "surfels", "--steps", "4"], "belongs to another batch: steps 3, not 4"),
        (["--seed", "1", "--method", "surfels"], "belongs to another batch: seed 42, not 1"),
        ([], "belongs to another batch: method surfels, not sage-multiview"),
    ):
        with pytest.raises(SystemExit):
            main([*command, *arguments])
        assert message in capsys.readouterr().out
    moved = write_tiny_capture(tmp_path / "elsewhere" / "good", width=24, height=32)
    with pytest.raises(SystemExit):
        main([str(moved), *command[3:], "--method", "surfels"])
    assert "already has a capture 'good'" in capsys.readouterr().out


def test_a_job_that_fails_is_reported_and_the_next_one_runs(
    captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(captures / "good"), str(captures / "other"), "--output", str(tmp_path / "out"), *COMMON]
    assert output_of_broken_jobs(main, arguments, tmp_path, capsys).count("failed (exit code 3)") == 2
    report = json.loads((tmp_path / "out" / "batch.json").read_text())["captures"]
    assert [each["reason"] for each in report.values()] == ["exit code 3", "exit code 3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "There is no capture"),
        (["{good}", "{good}"], "Two captures are called 'good'. Rename one, or run them with an --output"),
        (["{good}", "--seed", "-1"], "--seed -1: expected a whole number >= 0"),
        (["{good}", "--method", "magic"], "There is no method 'magic'"),
        (["{good}", "--steps", "0"], "--max-num-iterations is 0"),
        (["{good}", "--cores-per-job", "0"], "--cores-per-job 0: expected at least 1"),
        (
            ["{good}", "--method", "surfels", "--export", "mesh"],
            "--export mesh: the method surfels trains surfels only",
        ),
        (["{good}", "--output", "{good}"], "is not empty and not a folder of sage-batch"),
        (["{good}", "--output", "{good}/transforms.json"], "is a file"),
    ],
)
def test_bad_options_are_refused_before_anything_is_done(
    arguments: list[str],
    message: str,
    captures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [each.format(good=captures / "good") for each in arguments]
    if "--output" not in given:
        given += ["--output", str(tmp_path / "out")]
    assert_refused(main, given, message, captures, tmp_path / "out", capsys)
