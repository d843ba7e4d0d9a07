"""Captures of people by number: complete, repeatable, resumed, and refused where the range is bad."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sage_ns.capture import read_capture
from sage_ns.cli.capture import main
from sage_ns.errors import CaptureError
from sage_ns.rig import FlameParams, load_head_model
from sage_ns.synthetic import SyntheticCapture, cameras, synthesize_capture
from sage_ns.synthetic.people import PeopleSettings, write_people, write_people_sheet
from sage_ns.synthetic.random_look import identity_of, random_look
from sage_ns.synthetic.studio import look_of_settings

TINY = PeopleSettings(width=30, height=44, supersampling=1)


def quietly(done: int, total: int) -> None:
    assert 0 <= done <= total


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People 3 and 4, by the command."""
    out = tmp_path_factory.mktemp("people") / "out"
    flags = ("--width", "30", "--height", "44", "--supersampling", "1")
    main(["people", str(out), "3", "5", *flags, "--sheet", str(out.parent / "sheet.png")])
    return out


def test_a_moment_is_seen_from_all_around(out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == ["p0003", "p0004"]
    capture = read_capture(out / "p0003")
    assert [frame.camera_index for frame in capture.train] == [index for index in range(22) if index != 8]
    assert [(frame.timestep, frame.camera_index) for frame in capture.val] == [(0, 8)]
    assert capture.test == ()
    for frame in capture.train:
        with Image.open(frame.image_path) as image, Image.open(frame.mask_path or "") as mask:
            assert image.size == mask.size == (30, 44)
            assert 0.1 < np.asarray(mask).mean() / 255.0 < 0.7
    model = load_head_model(out / "p0003" / "head_model.npz")
    params = FlameParams.load(out / "p0003" / "flame_param")
    params.check_fits(model)
    assert params.jaw_pose[0, 0] == pytest.approx(0.03, abs=0.03)
    truth = identity_of(random_look(3))
    error = params.shape.numpy() - truth
    assert 0.0 < np.abs(error[truth != 0]).mean() < 0.2
    assert not (out / "p0003" / "driver").exists()
    assert "sage-capture synthesize --person 3" in (out / "p0003" / "readme.txt").read_text()
    assert "driver/" not in (out / "p0003" / "readme.txt").read_text()


def test_the_cameras_of_the_arc_stay_and_six_join_them() -> None:
    moment, arc = cameras(SyntheticCapture(regime="moment")), cameras(SyntheticCapture())
    assert list(moment) == list(range(22))
    for index, camera in arc.items():
        np.testing.assert_array_equal(moment[index].camera_to_world, camera.camera_to_world)
    behind = np.array([moment[index].camera_to_world[:3, 3] for index in range(16, 22)])
    assert (behind[:5, 2] < -0.4).all() and behind[5, 1] > 0.9
    few = cameras(SyntheticCapture(regime="moment", num_cameras=4))
    assert len(few) == 10 and set(range(16, 22)) < set(few)


def test_two_people_differ_and_a_number_gives_the_same_bytes(out: Path, tmp_path: Path) -> None:
    front = [np.asarray(Image.open(out / name / "images" / "00000_08.png"), dtype=float) for name in ("p0003", "p0004")]
    assert np.abs(front[0] - front[1]).mean() > 5.0
    again = write_people(tmp_path, 4, 5, TINY, quietly)
    assert digest(again[0]) == digest(out / "p0004")


def test_the_sheet_shows_every_person_from_the_front(out: Path, tmp_path: Path) -> None:
    with Image.open(out.parent / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape == (44, 60, 3)
    np.testing.assert_array_equal(pixels[:, 30:], np.asarray(Image.open(out / "p0004" / "images" / "00000_08.png")))
    write_people_sheet([out / "p0003", out / "p0004", out / "p0003"], tmp_path / "backs.png", camera=20, columns=2)
    with Image.open(tmp_path / "backs.png") as sheet:
        assert sheet.size == (60, 88)
        assert (np.asarray(sheet)[44:, 30:] == 255).all()
    with pytest.raises(SystemExit):
        main(["people", str(tmp_path / "none"), "3", "5", "--sheet", "sheet.txt"])
    assert not (tmp_path / "none").exists()


def test_people_that_are_there_are_skipped(out: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    seen = []
    assert write_people(out, 3, 5, TINY, lambda *progress: seen.append(progress)) == [out / "p0003", out / "p0004"]
    assert seen == [(2, 2)]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_stopped_run_leaves_whole_people_only(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 1:
            raise Stop

    with pytest.raises(Stop):
        write_people(tmp_path, 7, 9, TINY, stop)
    assert [path.name for path in tmp_path.iterdir()] == ["p0007"]
    assert (tmp_path / "p0007" / "person.json").is_file()


def test_folders_of_other_settings_are_refused(out: Path, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"p0003 was made with other settings \(supersampling 1, not 2\)"):
        write_people(out, 3, 5, replace(TINY, supersampling=2), quietly)
    (tmp_path / "p0001").mkdir()
    (tmp_path / "p0001" / "mine.txt").write_text("keep")
    with pytest.raises(CaptureError, match=r"p0001 exists and is no person"):
        write_people(tmp_path, 0, 3, TINY, quietly)
    (tmp_path / "p0002").write_text("")
    with pytest.raises(CaptureError, match="is a file"):
        write_people(tmp_path, 2, 3, TINY, quietly)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p0001", "p0002"]
    (out / "p0005").mkdir()
    (out / "p0005" / "person.json").write_text(json.dumps([1]))
    with pytest.raises(CaptureError, match="is no person"):
        write_people(out, 5, 6, TINY, quietly)


@pytest.mark.parametrize(("first", "last"), [(5, 5), (6, 5), (-1, 2), (0, 2**40)])
def test_bad_ranges_are_refused(tmp_path: Path, first: int, last: int) -> None:
    with pytest.raises(CaptureError, match=f"the range is {first} to {last}"):
        write_people(tmp_path / "out", first, last, TINY, quietly)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("setting", "value"), [("spread", -1.0), ("spread", 9.0), ("tracking_error", -1.0)])
def test_bad_settings_are_named(tmp_path: Path, setting: str, value: float) -> None:
    with pytest.raises(CaptureError, match=setting):
        write_people(tmp_path / "out", 0, 1, replace(TINY, **{setting: value}), quietly)


def test_the_command_refuses_a_bad_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["people", str(tmp_path / "out"), "9", "4"])
    assert stopped.value.code == 1
    assert "the range is 9 to 4" in capsys.readouterr().out


def test_every_regime_can_show_a_person_of_the_generator() -> None:
    assert look_of_settings(SyntheticCapture(person=12, regime="monocular")) == random_look(12)
    assert look_of_settings(SyntheticCapture(person=12, seed=4)) == random_look(12)
    wide = PeopleSettings("oneshot", spread=1.6, glasses=True).capture(12)
    assert (wide.regime, wide.seed, wide.person) == ("oneshot", 12, 12)
    assert look_of_settings(wide) == random_look(12, True, 1.6)


@pytest.mark.parametrize("changes", [{"hair": "long"}, {"hair_color": "blond"}])
def test_a_person_of_the_generator_has_hair_of_their_own(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(CaptureError, match="person 3 has hair of their own"):
        synthesize_capture(tmp_path / "x", SyntheticCapture(person=3, **changes), quietly)
    with pytest.raises(CaptureError, match="'person' is -1"):
        synthesize_capture(tmp_path / "x", SyntheticCapture(person=-1), quietly)
