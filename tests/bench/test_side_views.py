"""Held-out pictures from the side for the capture of one camera, and figures by the camera's angle to the face."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage_ns.bench.result import ImageFigures, Result
from sage_ns.bench.side_views import add_side_views
from sage_ns.bench.sides import side_sheets
from sage_ns.bench.summary import summarise
from sage_ns.capture.checked import CaptureOptions, load_capture
from sage_ns.errors import CaptureError
from tests.bench.results import result
from tests.tiny_capture import write_tiny_capture


def write_one_camera(folder: Path, rig: Path) -> Path:
    """A capture of the rig's camera 1, whose files stay in the rig's folder, as FaceKit's people have it."""
    folder.mkdir()
    for name in ("transforms_train.json", "transforms_test.json"):
        content = json.loads((rig / name).read_text())
        content["frames"] = [each for each in content["frames"] if each["camera_index"] == 1]
        for each in content["frames"]:
            for key in ("file_path", "fg_mask_path", "flame_param_path"):
                each[key] = f"../{rig.name}/{each[key]}"
        (folder / name).write_text(json.dumps(content))
    return folder


def test_the_other_cameras_of_the_moment_become_held_out_pictures(tmp_path: Path) -> None:
    rig = write_tiny_capture(tmp_path / "rig")
    turning = write_one_camera(tmp_path / "turning", rig)
    assert add_side_views(turning, rig) == 2
    options = CaptureOptions(turning, rig / "head_model.npz", frames="multi", canonical_timestep=0)
    splits = load_capture(options).splits
    assert [(frame.timestep, frame.camera_index) for frame in splits.val] == [(0, 0), (0, 2)]
    assert splits.sources["val"] == "val" and {frame.camera_index for frame in splits.train} == {1}


def test_folders_apart_are_refused(tmp_path: Path) -> None:
    rig = write_tiny_capture(tmp_path / "rig")
    (tmp_path / "elsewhere").mkdir()
    turning = write_tiny_capture(tmp_path / "elsewhere" / "turning", num_cameras=1)
    with pytest.raises(CaptureError, match="do not lie side by side"):
        add_side_views(turning, rig)


def test_a_moment_that_is_not_there_is_refused(tmp_path: Path) -> None:
    rig = write_tiny_capture(tmp_path / "rig")
    turning = write_one_camera(tmp_path / "turning", rig)
    with pytest.raises(CaptureError, match="no picture of timestep 99"):
        add_side_views(turning, rig, 99)
    with pytest.raises(CaptureError, match="no other camera has a picture of timestep 0"):
        add_side_views(turning, turning.rename(tmp_path / "again") and write_one_camera(tmp_path / "turning", rig))


def seen_from(yaws: dict[float, float]) -> Result:
    """A result whose novel views have a PSNR for each angle."""
    views = tuple(
        ImageFigures(0, number, {"psnr": psnr, "ssim": 0.9}, yaw=yaw) for number, (yaw, psnr) in enumerate(yaws.items())
    )
    return result("sage-monocular", 30.0, novel_view=views)


def test_novel_views_are_told_apart_by_angle() -> None:
    found = seen_from({0.0: 32.0, 35.0: 30.0, 45.0: 28.0, 65.0: 26.0, 90.0: 24.0, 170.0: 22.0})
    means = {view: found.figures(view)["psnr"] for view in ("side_35", "side_65", "side_90", "novel_view")}
    assert means == {"side_35": 31.0, "side_65": 27.0, "side_90": 23.0, "novel_view": 27.0}


def test_the_table_by_angle_needs_cameras_at_the_side() -> None:
    (sheet,) = side_sheets("person", summarise([seen_from({0.0: 32.0, 90.0: 24.0})]), "")
    assert sheet.headings == ["row", "up to 40 degrees", "its face", "beyond 75", "its face"]
    assert sheet.rows[0][1].startswith("32.00") and sheet.rows[0][3].startswith("24.00")
    assert side_sheets("person", summarise([seen_from({0.0: 32.0, 10.0: 31.0})]), "") == []
