"""Suite ``insta``: subjects under the usual protocol, and the mean over them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from sage_ns.bench.job import Job, Settings
from sage_ns.bench.measured import CaptureFacts
from sage_ns.bench.result import ImageFigures, Result
from sage_ns.bench.rows import MONOCULAR_ALL, MULTI
from sage_ns.bench.suite_run import PlannedSuite, plan_suites, write_across
from sage_ns.bench.suites import suite_of
from sage_ns.bench.suites.insta import PUBLISHED
from sage_ns.cli.capture import main
from sage_ns.errors import SageError
from sage_ns.rig import save_head_model
from tests.bench.results import result
from tests.capture.test_insta import MODEL
from tests.capture.test_insta import insta as insta
from tests.tiny_capture import write_tiny_capture, write_transforms

SUITE = suite_of("insta")
SETTINGS = Settings("small")


def subject(folder: Path, size: int = 16) -> CaptureFacts:
    """A capture of one camera: five training moments, the last three are for testing."""
    write_tiny_capture(folder, num_cameras=1, num_timesteps=8, width=size, height=size)
    (planned,) = plan_suites([folder], [SUITE], SETTINGS)
    return planned.facts


def done(out: Path, facts: CaptureFacts, row: str, psnr: float, lpips: float | None = None) -> tuple[Job, Result]:
    figures = {"psnr": psnr, "ssim": psnr / 100} | ({} if lpips is None else {"lpips": lpips})
    frames = tuple(ImageFigures(timestep, 0, figures) for timestep in (6, 7))
    found = replace(result(row, psnr), capture=facts.name, reenactment=frames, frontal_camera=0)
    return Job(out, facts.folder, row, 1, SETTINGS, row), found


@pytest.fixture
def subjects(tmp_path: Path) -> list[CaptureFacts]:
    return [subject(tmp_path / name) for name in ("bala", "biden")]


def test_the_row_of_the_table_is_the_mean_over_subjects(subjects: list[CaptureFacts], tmp_path: Path) -> None:
    out = tmp_path / "out"
    finished = [
        done(out, subjects[0], MULTI, 20.0, 0.1),
        done(out, subjects[1], MULTI, 30.0, 0.3),
        done(out, subjects[0], MONOCULAR_ALL, 26.0),
    ]
    planned = [PlannedSuite(SUITE, facts, tuple(SUITE.rows(facts))) for facts in subjects]
    (report,) = write_across(out, planned, finished, SETTINGS)
    lines = {line[0]: list(line[1:]) for line in report.sheet.rows}
    assert report.sheet.headings[1:] == ("mean over the subjects", "subjects", "bala", "biden")
    assert lines[MULTI] == ["25.00 / 0.250 / 0.200", "2", "20.00 / 0.200 / 0.100", "30.00 / 0.300 / 0.300"]
    assert lines[MONOCULAR_ALL] == ["26.00 / 0.260", "1", "26.00 / 0.260", "-"]
    assert lines["SAGE (published)"] == ["29.03 / 0.925 / 0.082", "-", "-", "-"] and set(PUBLISHED) <= set(lines)
    assert report.table == out / "insta.md" and "| biden |" in report.table.read_text()
    own = planned[1].write(out, finished, SETTINGS)
    assert own.sheet.rows == [(MULTI, "30.00 / 0.300 / 0.300", "- / - / -")] and own.plot and own.plot.is_file()


def test_what_departs_from_the_protocol_is_in_the_title(subjects: list[CaptureFacts], tmp_path: Path) -> None:
    job = done(tmp_path, subjects[0], MULTI, 20.0)
    planned = PlannedSuite(SUITE, subjects[0], (MULTI,))
    title = SUITE.sheet(planned.measured([job])).title
    assert title.endswith("not the usual protocol: bala has pictures of 16 x 16 px, 2 test frames")
    smaller = replace(job[0], settings=Settings("small", downscale_factor=4))
    assert "4 x 4 px" in SUITE.sheet(planned.measured([(smaller, job[1])])).title


def test_without_results_there_is_no_table(subjects: list[CaptureFacts], tmp_path: Path) -> None:
    assert write_across(tmp_path, [PlannedSuite(SUITE, each, (MULTI,)) for each in subjects], [], SETTINGS) == []
    assert suite_of("table1").across([]) is None


def test_captures_that_do_not_fit(tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path / "head", num_cameras=1, num_timesteps=5)
    write_transforms(folder / "transforms_test.json", [])
    with pytest.raises(SageError, match=r"there is no test split. Convert it again .* --test-frames 350"):
        plan_suites([folder], [SUITE], SETTINGS)
    short = write_tiny_capture(tmp_path / "short", num_cameras=1, num_timesteps=1)
    write_transforms(
        short / "transforms_test.json",
        json.loads((short / "transforms_train.json").read_text())["frames"],
    )
    with pytest.raises(SageError, match="has 1 training moment"):
        plan_suites([short], [SUITE], SETTINGS)


def test_a_converted_folder_is_a_subject(insta: tuple[Path, Path], tmp_path: Path) -> None:
    for path in (insta[0] / "images").iterdir():  # the maker's mattes cover half of the head
        Image.open(path).convert("RGB").convert("RGBA").save(path)
    folder = tmp_path / "bala"
    main(["insta", *map(str, insta), str(folder), "--test-frames", "2"])
    save_head_model(MODEL, folder / "head_model.npz")
    (planned,) = plan_suites([folder], [SUITE], SETTINGS)
    assert planned.rows == (MULTI, MONOCULAR_ALL) and sorted(planned.facts.cameras) == [0, 1, 2, 3]
