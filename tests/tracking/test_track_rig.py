"""From a folder of pictures to a capture, with networks that know the head; and folders that are refused."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.capture.checked import CaptureOptions, load_capture
from sage_ns.cli import track as cli
from sage_ns.errors import OptionError, SageError, TrackingError
from sage_ns.tracking import track_rig as steps
from sage_ns.tracking.cameras import unknown
from sage_ns.tracking.cameras.rig_camera import CameraRig
from sage_ns.tracking.joint_fit import JointFit
from sage_ns.tracking.rig_fit import RigFit
from sage_ns.tracking.track_rig import RigOptions, track_rig
from tests.tracking.cameras.ring import SIZE, opencv_json, write_json
from tests.tracking.known_rig import KnownRig, known_rig, networks_of, write_rig_pictures


@pytest.fixture(scope="module")
def rig() -> KnownRig:
    """Five cameras around the head, and a sixth that looks past it."""
    rig = known_rig()
    aside = np.eye(4)
    aside[0, 3] = 1.0
    return replace(
        rig,
        cameras=[
            *rig.cameras,
            replace(rig.cameras[2], name="c5", world_to_camera=aside @ rig.cameras[2].world_to_camera),
        ],
    )


@pytest.fixture(scope="module")
def folder(rig: KnownRig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rig") / "pictures"
    write_rig_pictures(rig, folder)
    content = opencv_json(rig.cameras)
    content["cameras"]["c4"]["dist"] = [0.05, 0.0, 0.0, 0.0]
    write_json(folder / "cameras.json", content)
    return folder


@pytest.fixture
def quick(rig: KnownRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedding is known; the fit, which tests/tracking/test_rig_fit.py makes, finds the head where it is."""
    monkeypatch.setattr(steps, "embedding_on", lambda model, detect: rig.embedding)

    def fit(cameras: list, faces: dict, *rest: Any) -> RigFit:
        num = len(faces)
        joint = JointFit(
            rig.params,
            1.0,
            torch.zeros(num, 478, 2),
            torch.ones(num, 478),
            torch.full((num,), 60.0),
            torch.full((num,), 9.0),
        )
        points = rest[-1](cameras, rig.params)  # flat colours have no spots, but the pictures are looked at
        assert points.shape[1] == 3
        return RigFit(
            rig.params, tuple(cameras), 1.0, "stated", 1.0, np.eye(4), joint, tuple(sorted(faces)), {}, len(points)
        )

    monkeypatch.setattr(steps, "fit_rig", fit)


@pytest.mark.usefixtures("quick")
def test_every_camera_that_sees_the_head_is_in_the_capture(rig: KnownRig, folder: Path, tmp_path: Path) -> None:
    (folder / "masks").mkdir()
    shape = np.full(SIZE[::-1], 255, np.uint8)
    Image.fromarray(shape).save(folder / "masks" / "c1.png")
    options = RigOptions(folder, tmp_path / "out", consent="it is a drawing")
    tracked = track_rig(options, rig.model, networks_of(rig, without=(0, 5)))
    shutil.rmtree(folder / "masks")
    checked = load_capture(CaptureOptions(tmp_path / "out", frames="single"))
    frames = checked.splits.train
    assert [frame.camera_index for frame in frames] == [0, 1, 2, 3, 4]
    assert all(frame.mask_path is not None for frame in frames)
    for frame, camera in zip(frames, rig.cameras, strict=False):
        np.testing.assert_allclose(
            np.linalg.inv(frame.camera_to_world)[[0, 1, 2]] * np.array([[1], [-1], [-1]]),
            camera.world_to_camera[:3],
            atol=1e-6,
        )
    report = json.loads((tmp_path / "out" / "tracking.json").read_text())
    assert report["left_out"] == {"c5.png": "its camera sees 0% of the head"}
    entries = report["pictures"]
    assert [entry["camera"] for entry in entries] == ["c0", "c1", "c2", "c3", "c4"]
    assert "found no face" in entries[0]["face"]
    assert [entry["face"] for entry in entries[1:]] == ["used"] * 4
    assert [entry["foreground"] for entry in entries[:3]] == ["segmentation", "mask", "segmentation"]
    assert [entry["straightened"] for entry in entries] == [False] * 4 + [True]
    assert report["cameras"]["kind"] == "an OpenCV calibration as JSON"
    assert report["consent"] == "it is a drawing"
    assert any("c5.png is left out" in note for note in tracked.notes)
    with Image.open(tmp_path / "out" / "tracking.png") as sheet:
        assert sheet.height > 5 * 480
    # What the lens does not show is no foreground.
    assert len(list((tmp_path / "out" / "images").iterdir())) == 5


@pytest.mark.usefixtures("quick")
def test_the_command_takes_a_folder_and_refuses_options_of_other_inputs(
    rig: KnownRig,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli, "_networks", lambda: networks_of(rig))
    monkeypatch.setattr(cli, "head_model_or_builtin", lambda path: rig.model)
    for ignored in (("--start", "1"), ("--refine", "photometric")):
        with pytest.raises(SystemExit):
            cli.main([str(folder), str(tmp_path / "out"), *ignored])
        assert "is a folder of pictures" in " ".join(capsys.readouterr().out.split())
    cli.main([str(folder), str(tmp_path / "out"), "--cameras", str(folder / "cameras.json"), "--size", "64"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "5, 1 more are left out; an OpenCV calibration as JSON" in printed
    assert f"ns-train sage-multiview --data {tmp_path / 'out'}" in printed.replace("- -", "--")


@pytest.mark.usefixtures("quick")
def test_without_a_file_the_cameras_are_found(
    rig: KnownRig, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for path in folder.glob("*.png"):
        shutil.copy(path, pictures)
    cameras = tuple(replace(camera, picture=pictures / f"{camera.name}.png") for camera in rig.cameras[:5])
    monkeypatch.setattr(steps, "check_can_solve", lambda *_: None)
    monkeypatch.setattr(
        steps, "solve_cameras", lambda *_: (CameraRig(cameras, None, str(pictures), "COLMAP"), ["a note"])
    )
    tracked = track_rig(RigOptions(pictures, tmp_path / "out"), rig.model, networks_of(rig))
    assert tracked.rig.kind == "COLMAP"
    assert "a note" in tracked.notes
    assert len(tracked.views) == 5


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"size": 10}, OptionError, "size=10"),
        ({"face": "2"}, OptionError, "a number means another face"),
        ({"focal_mm": 1.0}, OptionError, "focal_mm=1"),
        ({"focal_mm": 50.0}, OptionError, "states the cameras; leave the focal length out"),
        ({"input": Path("nowhere")}, TrackingError, "nowhere is no folder"),
        ({"cameras": Path("nowhere.json")}, SageError, "nowhere.json: no such file"),
    ],
)
def test_options_that_are_refused(
    rig: KnownRig, folder: Path, tmp_path: Path, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    options = replace(RigOptions(folder, tmp_path / "out"), **change)
    with pytest.raises(error, match=message):
        track_rig(options, rig.model, networks_of(rig))
    assert not (tmp_path / "out").exists()


def test_pictures_without_any_face_are_refused(rig: KnownRig, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"none of the 6 pictures shows a face .*c0\.png: found no face"):
        track_rig(RigOptions(folder, tmp_path / "out"), rig.model, networks_of(rig, without=range(6)))


def test_unknown_cameras_need_three_pictures_and_pycolmap(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = sorted(folder.glob("*.png"))
    with pytest.raises(TrackingError, match=r"2 pictures, and no file .* at least 3"):
        unknown.check_can_solve(pictures[:2], folder)
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrackingError, match=r"pip install 'sage_ns\[track\]'"):
        unknown.check_can_solve(pictures, folder)
