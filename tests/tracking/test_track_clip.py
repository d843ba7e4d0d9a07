"""A clip from file to capture: with a detector that knows the head; and clips that cannot be used."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.capture.checked import CaptureOptions, load_capture
from sage_ns.cli import track as cli
from sage_ns.errors import SageError, TrackingError
from sage_ns.geometry.rotations import axis_angle_to_matrix, degrees_between
from sage_ns.rig import FlameParams
from sage_ns.synthetic.head import builtin_head
from sage_ns.tracking import track_clip as module
from sage_ns.tracking.face import Face
from sage_ns.tracking.track_clip import ClipOptions, track_clip
from sage_ns.tracking.track_photo import Networks
from sage_ns.tracking.write_clip import TrackedClip
from tests.tracking.painted_clip import FOCAL, SIZE, YAWS, Actor, painted_actor, write_film


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sage_ns.tracking.clip_faces.cache_dir", lambda: cache)


@pytest.fixture(scope="module")
def actor(tmp_path_factory: pytest.TempPathFactory) -> Actor:
    return painted_actor(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def tracked(actor: Actor, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrackedClip]:
    """The capture, made by a run that was interrupted and one that went on."""
    folder = tmp_path_factory.mktemp("tracked")
    options = ClipOptions(actor.clip, folder / "me", focal_mm=FOCAL / np.hypot(*SIZE) * 43.2666)

    def tired(picture: torch.Tensor | np.ndarray) -> list[Face]:
        if len(actor.looked_at) == 2:
            raise KeyboardInterrupt
        return actor.detect(picture)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sage_ns.tracking.clip_faces.cache_dir", lambda: cache)
        with pytest.raises(KeyboardInterrupt):
            track_clip(options, builtin_head(), Networks(tired, actor.segment))
        assert not list(folder.iterdir()) and len(list((cache / "clips").rglob("*.npz"))) == 2
        tracked = track_clip(options, builtin_head(), actor.networks())
    assert sorted(actor.looked_at) == list(range(len(YAWS)))
    assert not list((cache / "clips").iterdir())
    return folder / "me", tracked


@pytest.fixture(scope="module")
def out(tracked: tuple[Path, TrackedClip]) -> Path:
    return tracked[0]


def test_the_capture_is_one_that_monocular_trains_on_and_shows_the_turning_head(actor: Actor, out: Path) -> None:
    checked = load_capture(CaptureOptions(out, frames="rotation"))
    frames = checked.splits.train
    assert len(frames) == len(YAWS)
    assert all(np.array_equal(frame.camera_to_world, frames[0].camera_to_world) for frame in frames)
    assert len({(frame.width, frame.height, frame.fx) for frame in frames}) == 1
    assert frames[0].fx == pytest.approx(FOCAL, rel=1e-5)
    assert json.loads((out / "transforms_train.json").read_text())["light_axes"] == "world"
    for frame, truth in zip(frames, actor.params.rotation, strict=True):
        found = np.load(frame.flame_param_path)["rotation"][0]
        off = axis_angle_to_matrix(torch.from_numpy(found)) @ axis_angle_to_matrix(truth).T
        assert np.degrees(np.arccos(min(1.0, (float(off.trace()) - 1) / 2))) < 2.0
    with Image.open(frames[2].mask_path) as matte:  # type: ignore[arg-type]
        shown = np.asarray(matte) > 127
    assert 0.2 < shown.mean() < 0.8 and not shown[:, 0].any()


def test_the_report_lists_every_frame_and_the_sheet_shows_some(out: Path) -> None:
    report = json.loads((out / "tracking.json").read_text())
    assert report["source"]["file"] == "clip.mp4" and report["consent"] == "" and report["left_out"] == []
    assert [each["seconds"] for each in report["frames"]] == pytest.approx([0.1 * row for row in range(len(YAWS))])
    assert all(each["rms_of_face_width"] < 0.02 and each["confidence"] > 0.9 for each in report["frames"])
    assert report["yaw_degrees"]["to"] - report["yaw_degrees"]["from"] == pytest.approx(54, abs=5)
    assert any("sides of the head will be guesses" in note for note in report["notes"])
    refinement = report["refinement"]
    assert refinement["by"] == "photometric" and isinstance(refinement["kept"], bool)
    assert refinement["cost_after"] <= refinement["cost_before"]
    with Image.open(out / "tracking.png") as sheet:
        assert sheet.height > 5 * 480


def sound(folder: Path, actor: Actor) -> Path:
    import subprocess

    from sage_ns.video.ffmpeg import ffmpeg_program

    path = folder / "sound.mp4"
    command = [ffmpeg_program(), "-v", "error", "-f", "lavfi", "-i", "sine=duration=0.2", "-vn", str(path)]
    subprocess.run(command, check=True)
    return path


def text(folder: Path, actor: Actor) -> Path:
    path = folder / "clip.mp4"
    path.write_text("no clip")
    return path


def two_takes(folder: Path, actor: Actor) -> Path:
    other = [255 - np.roll(np.rot90(each, 2), 40, axis=1) for each in actor.frames[:3]]
    return write_film(folder / "takes.mp4", [*actor.frames[:3], *other])


def short(folder: Path, actor: Actor) -> Path:
    return write_film(folder / "short.mp4", actor.frames[:3])


def tiny(folder: Path, actor: Actor) -> Path:
    return write_film(folder / "tiny.mp4", [each[:40, :48] for each in actor.frames])


@pytest.mark.parametrize(
    ("make", "changed", "message"),
    [
        (lambda folder, actor: folder / "none.mp4", {}, "no such file"),
        (text, {}, "neither pictures nor sound"),
        (sound, {}, "sound but no pictures"),
        (tiny, {}, "at least 64 px"),
        (short, {}, "found 3 pictures; expected at least 5"),
        (two_takes, {}, r"a cut at 0.30 s.*--end 0.25, or --start 0.35"),
        (None, {"start": 9.0}, "from 0 to the end of the clip"),
        (None, {"start": 0.2, "end": 0.1}, "an end after the start"),
        (None, {"frames": 2}, "expected 5 to 1000 frames"),
        (None, {"size": 20}, "expected 64 to 4096"),
        (None, {"background": Path("none.png")}, "no such file"),
        (None, {"face": "3"}, "a number from 1 to 1"),
    ],
)
def test_clips_that_cannot_be_used_are_refused_and_nothing_is_written(
    actor: Actor, tmp_path: Path, make, changed: dict[str, object], message: str
) -> None:
    clip = actor.clip if make is None else make(tmp_path, actor)
    options = replace(ClipOptions(clip, tmp_path / "out"), **changed)  # type: ignore[arg-type]
    with pytest.raises(SageError, match=message):
        track_clip(options, builtin_head(), actor.networks())
    assert not (tmp_path / "out").exists()


class _Stopped(Exception):
    """The fit was reached."""


def test_heads_of_another_tracker_are_those_of_their_frames(
    actor: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sage_ns.capture.tracker_files.registry.check_flame", lambda *_: None)
    params, count = actor.params, len(YAWS)
    rest = torch.zeros(count, 3)
    found = {
        "shape_from_facenet": torch.nn.functional.pad(params.shape, (0, 300 - len(params.shape))).repeat(count, 1),
        "expr": torch.nn.functional.pad(params.expr, (0, 100 - params.expr.shape[1])), "torso_pose": params.rotation,
        "neck_pose": rest, "jaw_pose": params.jaw_pose, "eye_l_pose": params.eyes_pose[:, :3],
        "eye_r_pose": params.eyes_pose[:, 3:], "cam_trans": params.translation + torch.tensor([0.0, 0.0, 1.0]),
    }  # fmt: skip
    np.savez(tmp_path / "sheap.npz", **{name: value.numpy() for name, value in found.items()})
    options = ClipOptions(
        actor.clip, tmp_path / "me", focal_mm=FOCAL / np.hypot(*SIZE) * 43.2666, initialise="tracker",
        tracker_file=tmp_path / "sheap.npz", keep_heads=True,
    )  # fmt: skip
    kept: list[FlameParams] = []

    def stop(*given: Any) -> None:
        kept.extend(given[6].values())
        raise _Stopped

    monkeypatch.setattr("sage_ns.tracking.clip_faces.cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(module, "_fitted", stop)
    with pytest.raises(_Stopped):
        track_clip(options, builtin_head(), actor.networks())
    turns = torch.cat([each.rotation for each in kept])
    off = degrees_between(*(axis_angle_to_matrix(each) for each in (turns, params.rotation)))
    assert len(kept) == count and float(off.max()) < 1.0
    torch.testing.assert_close(kept[0].jaw_pose, params.jaw_pose[:1], atol=1e-5, rtol=0)


def test_heads_of_another_clip_are_refused_before_faces_are_looked_for(
    actor: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sage_ns.capture.tracker_files.registry.check_flame", lambda *_: None)
    widths = {"pose_params": 3, "shape_params": 300, "expression_params": 50, "jaw_params": 3}
    np.savez(tmp_path / "smirk.npz", **{name: np.zeros((len(YAWS) + 9, width)) for name, width in widths.items()})
    looked_at = list(actor.looked_at)
    options = ClipOptions(
        actor.clip, tmp_path / "out", initialise="tracker", tracker_file=tmp_path / "smirk.npz", focal_mm=50.0
    )
    with pytest.raises(TrackingError, match=rf"smirk.npz: found {len(YAWS) + 9} heads, expected \d+, one for each"):
        track_clip(options, builtin_head(), actor.networks())
    assert actor.looked_at == looked_at and not (tmp_path / "out").exists()


def test_a_clip_without_the_face_says_what_every_frame_lacks(actor: Actor, tmp_path: Path) -> None:
    blind = Networks(lambda picture: [], actor.segment)
    options = ClipOptions(write_film(tmp_path / "blind.mp4", actor.frames[::-1]), tmp_path / "out")
    with pytest.raises(SageError, match=r"0 frames can be used.*6 x no face was found"):
        track_clip(options, builtin_head(), blind)


def test_the_command_knows_clips_from_photos(
    actor: Actor,
    tracked: tuple[Path, TrackedClip],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[ClipOptions] = []
    monkeypatch.setattr(cli, "_networks", actor.networks)
    monkeypatch.setattr(module, "track_clip", lambda options, *_: (asked.append(options), tracked[1])[1])
    monkeypatch.delenv("SAGE_HEAD_MODEL", raising=False)
    shutil.copytree(tracked[0], tmp_path / "me")  # what `track_clip` would have written
    cli.main([str(actor.clip), str(tmp_path / "me"), "--end", "0.5", "--face", "largest"])
    assert asked == [ClipOptions(actor.clip, tmp_path / "me", face="largest", end=0.5)]
    printed = " ".join(capsys.readouterr().out.split())
    assert "frames 6, 0 more are left out" in printed
    assert "next: ns-train sage-monocular --data" in printed
    clip, photo = actor.clip, tmp_path / "photo.png"
    for arguments in ([clip, "--mask", "m.png"], [clip, "--cameras", "c.json"], [photo, "--frames", "9"]):
        with pytest.raises(SystemExit):
            cli.main([str(arguments[0]), str(tmp_path / "no"), *map(str, arguments[1:])])
        assert "this option is for other inputs" in " ".join(capsys.readouterr().out.split())


def test_refinements_that_cannot_be_done_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    missing, blind = tmp_path / "none.mp4", Networks(lambda picture: [], lambda part: part[..., 0] * 0.0)
    with pytest.raises(TrackingError, match="landmarks, photometric"):
        track_clip(ClipOptions(missing, tmp_path / "me", refine="magic"), builtin_head(), blind)
    kept = ClipOptions(missing, tmp_path / "me", refine="photometric", keep_heads=True)
    with pytest.raises(SageError, match="kept are not refined"):
        track_clip(kept, builtin_head(), blind)


def test_frames_are_left_out_without_the_advice_for_photos() -> None:
    error = TrackingError("clip.mp4: the foreground (segmentation) covers 46% of the head. Give a mask (--mask).")
    assert module.reason_alone(error) == "the foreground (segmentation) covers 46% of the head"
