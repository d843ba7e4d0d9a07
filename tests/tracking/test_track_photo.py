"""One photo from file to capture: with a detector that knows the head, and once with the networks of the package."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.capture.checked import CaptureOptions, load_capture
from sage_ns.cli import track as cli
from sage_ns.errors import SageError
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.raster.cameras import project
from sage_ns.rig import FlameParams, pose_vertices
from sage_ns.synthetic.head import builtin_head, builtin_identity
from sage_ns.synthetic.painted import PaintedHead
from sage_ns.tracking.embedding import builtin_embedding
from sage_ns.tracking.face import Face
from sage_ns.tracking.refiners import PHOTOMETRIC
from sage_ns.tracking.track_photo import Networks, PhotoOptions, track_photo
from sage_ns.tracking.window import Window
from tests.tracking.known_head import face_of

SIZE, FOCAL = (150, 170), 300.0


@dataclass(frozen=True, eq=False)
class Sitter:
    """A painted person in a photo, and networks that know where."""

    photo: Path
    params: FlameParams
    vertices: torch.Tensor
    face: Face
    networks: Networks
    cover: np.ndarray


@pytest.fixture(scope="module")
def sitter(tmp_path_factory: pytest.TempPathFactory) -> Sitter:
    model = builtin_head()
    neutral = FlameParams.neutral(model)
    params = replace(
        neutral,
        shape=0.7 * builtin_identity(5),
        rotation=torch.tensor([[0.05, 0.25, -0.05]]),
        jaw_pose=torch.tensor([[0.1, 0.0, 0.0]]),
        translation=torch.tensor([[0.01, 0.03, -0.7]]),
    )
    vertices = pose_vertices(model, params)[0]
    camera = Window(0, 0, *SIZE, 1).camera(FOCAL, SIZE)
    picture, cover = PaintedHead(model).picture(vertices, camera, seed=5)
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(picture).save(path)
    found = project(builtin_embedding().points(vertices, model.triangles), camera)
    depth = (found.depth - found.depth.mean()) * FOCAL / found.depth.mean()
    face = face_of(found.pixels, depth)

    def segment(part: np.ndarray) -> np.ndarray:
        return (np.abs(part.astype(float) - picture[0, 0]).max(axis=-1) > 6).astype(float)

    return Sitter(path, params, vertices, face, Networks(lambda picture: [face], segment), cover)


@pytest.fixture(scope="module")
def out(sitter: Sitter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracked") / "me"
    options = PhotoOptions(sitter.photo, folder, focal_mm=None, consent="it is a drawing")
    track_photo(options, builtin_head(), sitter.networks)
    return folder


def test_the_capture_is_one_that_oneshot_trains_on_and_shows_the_head(sitter: Sitter, out: Path) -> None:
    checked = load_capture(CaptureOptions(out, frames="photo"))
    assert checked.head_model.name == "built-in head"
    frame = checked.splits.train[0]
    params = checked.tracking.params
    off = axis_angle_to_matrix(params.rotation[0]) @ axis_angle_to_matrix(sitter.params.rotation[0]).T
    assert np.degrees(np.arccos(min(1.0, (float(off.trace()) - 1) / 2))) < 2.5
    assert not params.translation.any()
    from sage_ns.capture.mattes import project as pixels_of

    posed = pose_vertices(checked.head_model, params)[0]
    report = json.loads((out / "tracking.json").read_text())
    corner = np.array([report["picture"]["left"], report["picture"]["top"]])
    shown = pixels_of(frame, posed.double().numpy()) + corner
    truth = project(sitter.vertices, Window(0, 0, *SIZE, 1).camera(FOCAL, SIZE)).pixels.numpy()
    face = builtin_head().regions.vertices("face").numpy()
    assert np.linalg.norm(shown - truth, axis=1)[face].mean() < 1.5
    matte = np.asarray(Image.open(frame.mask_path)) / 255  # type: ignore[arg-type]
    cover = sitter.cover[corner[1] :, corner[0] :][: matte.shape[0], : matte.shape[1]]
    above = int(truth[:, 1].max() - corner[1]) - 25
    assert np.abs(matte - cover)[:above].mean() < 0.02


def test_the_report_says_what_was_found_and_that_nobody_stated_consent(
    sitter: Sitter, out: Path, tmp_path: Path
) -> None:
    report = json.loads((out / "tracking.json").read_text())
    assert report["source"]["file"] == "photo.png" and len(report["source"]["sha256"]) == 64
    assert report["consent"] == "it is a drawing" and report["consent_note"] == ""
    assert report["focal_length"]["fitted"] and report["foreground"] == "segmentation"
    assert report["landmarks"]["rms_of_face_width"] < 0.02
    assert 10 < report["face"]["turn_degrees"] < 20
    with Image.open(out / "tracking.png") as sheet:
        assert sheet.width > 4 * report["picture"]["size"][0]
    assert report["refinement"] == {}
    options = PhotoOptions(sitter.photo, tmp_path / "again", focal_mm=60.0, refine=PHOTOMETRIC)
    again = track_photo(options, builtin_head(), sitter.networks)
    assert "--consent" in again.notes[-1]
    report = json.loads((tmp_path / "again/tracking.json").read_text())
    assert report["consent"] == "" and "Nobody has stated" in report["consent_note"]
    assert report["refinement"]["by"] == PHOTOMETRIC
    with Image.open(tmp_path / "again/tracking.png") as refined, Image.open(out / "tracking.png") as sheet:
        assert refined.width > sheet.width
    assert report["focal_length"]["mm_of_35mm_film"] == 60.0 and not report["focal_length"]["fitted"]


def test_a_smaller_picture_has_the_same_camera(sitter: Sitter, out: Path, tmp_path: Path) -> None:
    tracked = track_photo(PhotoOptions(sitter.photo, tmp_path / "small", size=80), builtin_head(), sitter.networks)
    assert tracked.window.factor == 2 and max(tracked.matte.shape) <= 80
    whole, small = (
        json.loads((folder / "transforms_train.json").read_text())["frames"][0] for folder in (out, tmp_path / "small")
    )
    assert small["fl_x"] == pytest.approx(whole["fl_x"] / 2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"input": Path("none.png")}, "no such file"),
        ({"size": 20}, "expected 64 to 4096"),
        ({"refine": "magic"}, "choose one of landmarks, photometric"),
        ({"refine": "photometric", "keep_heads": True}, "kept are not refined"),
        ({"focal_mm": 0.5}, "expected 8 to 2000 mm"),
        ({"face": "3"}, "a number from 1 to 1"),
        ({"mask": "black.png"}, "covers 0% of the fitted head"),
        ({"mask": "small.png"}, "Give both at the same size"),
        ({"mask": "black.png", "background": "black.png"}, "not both"),
        ({"background": "none.png"}, "no such file"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(
    sitter: Sitter, tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    Image.new("L", SIZE).save(tmp_path / "black.png")
    Image.new("L", (30, 30), 255).save(tmp_path / "small.png")
    placed = {name: tmp_path / value if isinstance(value, str) and value.endswith("png") else value
              for name, value in changed.items()}  # fmt: skip
    options = replace(PhotoOptions(sitter.photo, tmp_path / "out"), **placed)  # type: ignore[arg-type]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SageError, match=message):
        track_photo(options, builtin_head(), sitter.networks)
    assert sorted(tmp_path.iterdir()) == before


def test_used_folders_stay_and_an_interruption_leaves_nothing(
    sitter: Sitter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("x")
    with pytest.raises(SageError, match="--overwrite"):
        track_photo(PhotoOptions(sitter.photo, tmp_path / "out"), builtin_head(), sitter.networks)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sage_ns.tracking.write.write_sheet", interrupt)
    with pytest.raises(KeyboardInterrupt):
        track_photo(PhotoOptions(sitter.photo, tmp_path / "new"), builtin_head(), sitter.networks)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_command_prints_what_it_found_and_the_next_command(
    sitter: Sitter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_networks", lambda: sitter.networks)
    monkeypatch.delenv("SAGE_HEAD_MODEL", raising=False)
    cli.main([str(sitter.photo), str(tmp_path / "me")])
    printed = capsys.readouterr().out
    assert "head model    built-in head" in printed and "35 mm film (guess: 50 mm)" in printed
    assert f"ns-train sage-oneshot --data {tmp_path / 'me'}" in printed.replace("\n", "")
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(sitter.photo), str(tmp_path / "me2"), "--face", "7"])
    assert stopped.value.code == 1 and "--face 7" in capsys.readouterr().out


def test_the_command_begins_at_what_another_tracker_has_found(
    sitter: Sitter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file states the sitter's identity, which the landmarks of one picture do not tell."""
    monkeypatch.setattr(cli, "_networks", lambda: sitter.networks)
    monkeypatch.delenv("SAGE_HEAD_MODEL", raising=False)
    params, rest = sitter.params, torch.zeros(1, 3)
    found = {
        "shape_from_facenet": torch.nn.functional.pad(params.shape, (0, 300 - len(params.shape)))[None],
        "expr": torch.zeros(1, 100), "torso_pose": params.rotation, "neck_pose": rest, "jaw_pose": params.jaw_pose,
        "eye_l_pose": rest, "eye_r_pose": rest, "cam_trans": params.translation + torch.tensor([0.0, 0.0, 1.0]),
    }  # fmt: skip
    torch.save(found, tmp_path / "sheap.pt")
    options = ["--initialise", "tracker", "--tracker-file", str(tmp_path / "sheap.pt")]
    with pytest.raises(SystemExit):
        cli.main([str(sitter.photo), str(tmp_path / "me"), *options])
    printed = " ".join(capsys.readouterr().out.split())
    assert "SHeaP found coefficients of FLAME 2020, which mean nothing on head model 'built-in head'" in printed
    assert not (tmp_path / "me").exists()
    monkeypatch.setattr("sage_ns.capture.tracker_files.registry.check_flame", lambda *_: None)
    cli.main([str(sitter.photo), str(tmp_path / "me"), *options])
    assert "began at the head that SHeaP found (sheap.pt)" in " ".join(capsys.readouterr().out.split())
    shape = load_capture(CaptureOptions(tmp_path / "me", frames="photo")).tracking.params.shape
    off = [float((each - params.shape).norm()) for each in (shape, torch.zeros_like(params.shape))]
    assert off[0] < 0.2 * off[1]
