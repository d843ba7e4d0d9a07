"""Frames of a clip: which are taken, what is a cut, and whose face is followed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.errors import TrackingError
from sage_ns.tracking.clip import Clip, ClipFrame, choose_frames, is_cut, open_clip, pictures, sharpest_near
from sage_ns.tracking.clip_faces import face_at, follow
from sage_ns.tracking.face import Face
from sage_ns.video.ffmpeg import ffmpeg_program
from tests.tracking.painted_clip import write_film

CLIP = Clip(Path("clip.mp4"), (640, 480), 10.0, 0.0, None, "")


def noise(height: int = 100, width: int = 140) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 255, (height // 10, width // 10, 3), dtype=np.uint8)
    return np.repeat(np.repeat(coarse, 10, axis=0), 10, axis=1)


def test_frames_are_spread_and_sharp() -> None:
    assert sharpest_near([1.0, 2.0], 5) == [0, 1]
    sharp = [1.0] * 40
    sharp[6], sharp[39], sharp[20] = 5.0, 9.0, 0.1
    chosen = sharpest_near(sharp, 4)
    assert len(chosen) == 4 and chosen[0] == 6 and 39 not in chosen
    assert min(np.diff(chosen)) >= 5


def test_light_and_motion_are_no_cut_and_another_scene_is() -> None:
    scene = np.random.default_rng(0).random((24, 24, 3))
    assert not is_cut(scene, np.roll(scene, 1, axis=1) * 0.5 + scene * 0.5)
    assert not is_cut(scene, 0.4 * scene)
    assert is_cut(scene, np.random.default_rng(1).random((24, 24, 3)))
    assert is_cut(scene, np.zeros((24, 24, 3)))


def test_a_clip_is_read_upright_and_its_span_counts_from_the_beginning(tmp_path: Path) -> None:
    frames = [np.roll(noise(), 2 * step, axis=1) for step in range(8)]
    flat = write_film(tmp_path / "flat.mp4", frames)
    turned = tmp_path / "turned.mp4"
    command = [ffmpeg_program(), "-v", "error", "-display_rotation", "90", "-i", str(flat), "-c", "copy", str(turned)]
    subprocess.run(command, check=True)
    assert open_clip(flat).size == (140, 100) and open_clip(turned).size == (100, 140)
    clip = open_clip(flat, start=0.2, end=0.7)
    chosen = choose_frames(clip, 60)
    assert [each.seconds for each in chosen] == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6])
    ((frame, picture),) = pictures(clip, chosen[3:4])
    assert frame.index == 3
    errors = [np.abs(picture.astype(float) - each).mean() for each in frames]
    assert int(np.argmin(errors)) == 5


def at(x: float, width: float = 100.0, confidence: float = 0.99) -> Face:
    points = torch.zeros(478, 3)
    points[0, :2], points[1, :2] = torch.tensor([x, 100.0]), torch.tensor([x + width, 100.0 + width])
    points[2:] = points[0]
    return face_at(points, confidence)


def frames(*seconds: float) -> list[ClipFrame]:
    return [ClipFrame(index, each) for index, each in enumerate(seconds)]


def test_one_person_is_followed_past_others_and_past_frames_without_a_face() -> None:
    faces = [[at(0), at(300, 45)], [], [at(310, 130), at(20)], [at(320, 140)], [at(30, confidence=0.2)]]
    faces += [[at(30 + step)] for step in range(3)]
    times = frames(0.0, 0.4, 0.8, 1.2, 1.6, 2.5, 2.9, 3.3)
    with pytest.raises(TrackingError, match=r"a cut at 1.20 s"):
        follow(CLIP, times, faces, None)
    faces[3] = [at(320, 140), at(600, 150)]
    seen, left_out = follow(CLIP, times, faces, None)
    assert [each.frame.index for each in seen] == [0, 2, 5, 6, 7]
    assert float(seen[1].face.box[0]) == 20
    assert [each.frame.index for each in left_out] == [1, 3, 4]
    assert "no face" in left_out[0].reason and "among the others" in left_out[1].reason
    assert "unsure" in left_out[2].reason


def test_two_people_of_similar_size_need_a_choice() -> None:
    faces = [[at(300, 110), at(0)]] * 6
    times = frames(*(0.3 * step for step in range(6)))
    with pytest.raises(TrackingError, match=r"clip.mp4 at 0.00 s: found 2 faces.*--face largest"):
        follow(CLIP, times, faces, None)
    seen, _ = follow(CLIP, times, faces, "2")
    assert all(float(each.face.box[0]) == 0 for each in seen)
