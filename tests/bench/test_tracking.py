"""The benchmark of tracking on a tiny capture: rows, resumption, tables; and what it refuses."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from sage_ns.bench.tracking import __main__ as command
from sage_ns.bench.tracking import kinds as tracked_kinds
from sage_ns.bench.tracking.delivered import Delivered
from sage_ns.bench.tracking.kinds import MEAN_HEAD, UNKNOWN_CAMERAS, Setting, Tracked, Tracker, kinds
from sage_ns.bench.tracking.measure import Task, TrackingResult
from sage_ns.bench.tracking.tables import COLUMNS, as_json, markdown
from sage_ns.capture.writer import CameraPicture, write_capture
from sage_ns.errors import SageError, TrackingError
from sage_ns.evaluation.tracked_head import DELIVERED
from sage_ns.rig import concatenate
from sage_ns.system.typed_json import plain
from sage_ns.tracking import track_photo as photo_steps
from sage_ns.tracking.track_photo import Networks
from tests.tracking.cameras.ring import CENTER, FLIP, FOCAL, SIZE
from tests.tracking.known_rig import KnownRig, known_rig, networks_of, write_rig_pictures


@dataclass(frozen=True, eq=False)
class Given:
    """A head before five cameras at the first of three moments, and before the middle one at the others."""

    rig: KnownRig
    capture: Path
    networks: Networks


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    rig, folder = known_rig(), tmp_path_factory.mktemp("given")
    write_rig_pictures(rig, folder / "pictures")
    intrinsics = np.array([[FOCAL[0], 0, CENTER[0]], [0, FOCAL[1], CENTER[1]], [0, 0, 1.0]])
    pictures = []
    for moment, row in [*((0, row) for row in range(5)), (1, 2), (2, 2)]:
        camera = rig.cameras[row]
        with Image.open(folder / "pictures" / f"{camera.name}.png") as picture:
            pixels = np.asarray(picture)
        pose = np.linalg.inv(camera.world_to_camera) @ FLIP
        pictures.append(CameraPicture(moment, row, pose, intrinsics, pixels))
    params = concatenate([rig.params] * 3)
    write_capture(folder / "p1", pictures, params, head_model=rig.model)
    return Given(rig, folder / "p1", networks_of(rig))


@pytest.fixture
def measured(given: Given, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The function of the command, with the capture, its networks and its embedding filled in."""
    monkeypatch.setattr(photo_steps, "embedding_on", lambda model, detect: given.rig.embedding)

    def run(out: Path, **changes: Any) -> list[TrackingResult]:
        wanted: dict[str, Any] = {
            "captures": [given.capture], "kind": "photo", "rows": [MEAN_HEAD], "out": out, "setting": Setting(),
            "networks": given.networks, "console": Console(quiet=True),
        }  # fmt: skip
        return command.benchmark_tracking(**wanted | changes)

    return run


def test_a_photo_is_tracked_by_the_command_and_measured_once(
    given: Given, measured: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    rows = [MEAN_HEAD, "landmarks", "delivered"]
    exact, found, mean = measured(out, rows=rows)
    assert (mean.row, found.row, exact.row) == tuple(rows)
    assert exact.figures["correspondence"] < 1e-3
    assert mean.against == found.against == DELIVERED
    assert found.figures["correspondence"] < 0.7 * mean.figures["correspondence"]
    assert found.figures["rotation"] < 3 and "rotation_largest" not in found.figures, "there is one picture"
    assert "rotation" not in mean.figures and mean.seconds < 1
    assert not any("Nobody has stated" in note for note in found.notes)
    tracked = out / "p1" / "photo-landmarks" / "tracked"
    assert json.loads((tracked / "tracking.json").read_text())["source"]["file"] == "00000_02.png", "the front picture"
    table = (out / "table.md").read_text()
    assert "| p1 | landmarks | " in table and "Commit " in table
    kept = json.loads((out / "results.json").read_text())
    assert len(kept["results"]) == 3 and kept["over_captures"][0]["figures"]["surface"]["captures"] == 1
    monkeypatch.setattr(tracked_kinds, "track_photo", lambda *_: pytest.fail("tracked again"))
    assert plain(measured(out, rows=rows)) == kept["results"]
    with pytest.raises(SageError, match="belongs to another benchmark: masks False, not True"):
        measured(out, rows=rows, setting=Setting(masks=True))


def test_what_the_command_refuses_is_a_result_and_is_tried_again(
    given: Given, measured: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = replace(given.networks, detect=lambda picture: [])
    (refused,) = measured(tmp_path, rows=["landmarks"], networks=nobody)
    assert "found no face" in refused.refused and refused.figures == {}
    table = (tmp_path / "table.md").read_text()
    assert "landmarks (refused)" in table and "- p1, photo, landmarks: " in table

    def dark(*_: Any) -> None:
        raise TrackingError("it is dark")

    monkeypatch.setattr(tracked_kinds, "track_photo", dark)
    (again,) = measured(tmp_path, rows=["landmarks"])
    assert again.refused == "it is dark"


def test_a_clip_and_a_rig_get_the_pictures_of_the_capture(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they are made of; their tracking is that of the command, which has tests of its own."""
    delivered, seen = Delivered.load(given.capture), {}

    class Looked(Exception):
        pass

    def look(options: Any, *_: Any) -> None:
        seen["options"] = options
        if options.out.name == "rig":
            seen["files"] = {path.relative_to(options.input).as_posix() for path in options.input.rglob("*.*")}
            seen["frames"] = json.loads((options.input / "transforms.json").read_text())["frames"]
        else:
            seen["bytes"] = options.input.stat().st_size
        raise Looked

    for name in ("track_clip", "track_rig"):
        monkeypatch.setattr(tracked_kinds, name, look)
    tracker = Tracker(given.rig.model, given.networks, lambda step: None)
    rig = kinds["rig"]
    frames = rig.pictures(delivered)
    assert [(frame.timestep, frame.camera_index) for frame in frames] == [(0, row) for row in range(5)]
    with pytest.raises(Looked):
        rig.track("landmarks", frames, Setting(), tracker, tmp_path / "rig")
    assert seen["files"] == {"transforms.json", *(f"images/{row:02d}.png" for row in range(5))}
    np.testing.assert_allclose(seen["frames"][3]["transform_matrix"], frames[3].camera_to_world)
    clip = kinds["clip"]
    with pytest.raises(SageError, match="no camera has taken more than 3 pictures; a clip needs 5"):
        clip.pictures(delivered)
    with pytest.raises(Looked):
        clip.track("landmarks-focal", frames, Setting(frames=7), tracker, tmp_path / "clip")
    assert seen["bytes"] > 500 and seen["options"].frames == 7
    assert seen["options"].focal_mm == pytest.approx(FOCAL[0] / np.hypot(*SIZE) * 43.2666, rel=1e-4)


def test_cameras_that_are_found_are_compared_with_the_true_ones(given: Given, tmp_path: Path) -> None:
    delivered = Delivered.load(given.capture)
    task = Task.of(delivered, kinds["rig"], UNKNOWN_CAMERAS, Setting(), tmp_path)
    heads = tuple((frame, delivered.seen(frame)) for frame in task.frames)

    class Exact:
        name, rows = "rig", kinds["rig"].rows

        def track(self, *_: Any) -> Tracked:
            return Tracked(heads, 1.02, ("a note",))

    result = replace(task, kind=Exact()).run(Tracker(given.rig.model, given.networks, lambda step: None))  # type: ignore[arg-type]
    assert result.figures["camera_rotation_largest"] < 0.01 and result.figures["camera_position_mean"] < 1e-3
    assert result.figures["surface"] < 1e-3 and result.figures["focal"] == 1.02
    assert result.num_pictures == 5 and result.notes == ("a note",)
    assert not (set(result.figures) - set(COLUMNS)), "every figure has a column"
    assert TrackingResult.load(task.folder / "result.json") == result


def result(capture: str, row: str, **figures: float) -> TrackingResult:
    return TrackingResult(
        "key", capture, "photo", row, "FLAME", DELIVERED, figures, num_pictures=1, commit="abc", date="2026-11-30T10:00"
    )


def test_tables_have_mean_spread_and_worst_of_each_row() -> None:
    results = [
        result("p2", "landmarks", surface=0.8, scale=1.02, lids_r=0.9),
        result("p1", "landmarks", surface=1.0, scale=0.95, lids_r=0.5),
        result("p1", MEAN_HEAD, surface=2.0, scale=1.0),
        replace(result("p2", MEAN_HEAD), refused="no | face", num_pictures=0),
    ]
    text = markdown(results)
    assert "| landmarks | 2 of 2 | 0.90 ± 0.14 (1.00) | 0.985 ± 0.049 (0.950) | 0.700 ± 0.283 (0.500) |" in text
    assert "| mean-head | 1 of 2 | 2.00 | 1.000 | - |" in text
    lines = [line.split(" | ")[:2] for line in text.splitlines() if line.startswith("| p")]
    assert lines == [
        ["| p1", MEAN_HEAD],
        ["| p1", "landmarks"],
        ["| p2", f"{MEAN_HEAD} (refused)"],
        ["| p2", "landmarks"],
    ]
    assert "Commit abc; 2026-11-30." in text
    over = {each["row"]: each["figures"] for each in as_json(results)["over_captures"]}
    assert over["landmarks"]["scale"]["worst"] == 0.95 and over["landmarks"]["lids_r"]["worst"] == 0.5


def other_head(given: Given, tmp_path: Path) -> dict[str, Any]:
    return {"track_with": replace(given.rig.model, triangles=given.rig.model.triangles.flip(0))}


def used_folder(given: Given, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("mine")
    return {}


def file_as_out(given: Given, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "out").write_text("mine")
    return {}


def broken_settings(given: Given, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / command.SETTINGS_FILE).write_text('{"setting": 3}')
    return {}


@pytest.mark.parametrize(
    ("prepare", "changes", "message"),
    [
        (None, {"kind": "film"}, "kind of tracking 'film': choose one of clip, photo, rig"),
        (None, {"rows": ["magic"]}, "no row 'magic' of a photo. Rows: mean-head, landmarks, photometric"),
        (None, {"captures": []}, "There is no capture to run on"),
        (None, {"captures": [Path("a/p1"), Path("b/p1")]}, "Two captures are called 'p1'"),
        (None, {"captures": [Path("nowhere")]}, "nowhere is not a folder"),
        (None, {"setting": Setting(frames=2)}, "expected 5 to 1000 frames"),
        (None, {"kind": "clip"}, "a clip needs 5. Give a capture of a head that turns"),
        (other_head, {}, "no vertex knows its true place. Track with the head model of the capture"),
        (used_folder, {}, "not empty and not a folder of this benchmark"),
        (file_as_out, {}, "is a file. Name a folder"),
        (broken_settings, {}, "Name another folder as --out"),
    ],
)
def test_what_cannot_be_measured_is_refused_and_nothing_is_written(
    given: Given, measured: Any, tmp_path: Path, prepare: Any, changes: dict[str, Any], message: str
) -> None:
    changes = changes | ({} if prepare is None else prepare(given, tmp_path))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SageError, match=message.replace("(", r"\(")):
        measured(tmp_path / "out", **changes)
    assert sorted(tmp_path.rglob("*")) == before
