"""A clip is a motion file: it is recognised by its content, followed once, resumed, and drives an avatar with sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sage_ns.cli.render import main as sage_render
from sage_ns.errors import CaptureError, TrackingError
from sage_ns.motion.files.registry import reader_for
from sage_ns.rig import HeadModel
from sage_ns.synthetic.head import builtin_head
from sage_ns.tracking import film_faces, rig_embedding
from sage_ns.tracking.clip_motion import load_motion
from sage_ns.tracking.embedding import Embedding, builtin_embedding
from sage_ns.tracking.film_faces import faces_of_film
from sage_ns.video.ffmpeg import VideoError, inspect_media
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar
from tests.tracking.acted_film import Script, faces, landmarks, moments
from tests.tracking.known_head import random_embedding
from tests.video.test_footage import write_film, write_silence

FRAMES = 14


@pytest.fixture(scope="module")
def tiny() -> tuple[HeadModel, Embedding]:
    model = tiny_head_model()
    return model, random_embedding(model)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not SAGE_CACHE: compiled kernels stay where they are.
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(film_faces, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.delenv("SAGE_HEAD_MODEL", raising=False)


@pytest.fixture
def script(tiny: tuple[HeadModel, Embedding]) -> Script:
    model, embedding = tiny
    params = moments(model, FRAMES)
    params.jaw_pose[10:, 0] = 0.2
    return Script(faces(landmarks(model, embedding, params)))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_film(tmp_path / "clip.mp4", FRAMES, fps=10, sound=write_silence(tmp_path / "s.wav", FRAMES / 10))


def test_films_are_known_by_their_content(tmp_path: Path, clip: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(clip.read_bytes())
    assert reader_for(other).name == reader_for(clip).name == "clip of an actor"
    for content in (b"\0\0\0\x18ftypheic", b"RIFF\0\0\0\0WEBP", b"", b"\0"):
        other.write_bytes(content)
        with pytest.raises(CaptureError, match="a clip of an actor's face"):
            reader_for(other)
    with pytest.raises(CaptureError, match=r"clip.mp4: a clip becomes motion only on the rig of an avatar"):
        load_motion(clip)


def test_a_film_is_followed_once(clip: Path, script: Script) -> None:
    found = faces_of_film(clip, lambda: script)
    assert (found.num_frames, found.size, found.fps, script.calls) == (FRAMES, (12, 8), 10.0, FRAMES)
    again = faces_of_film(clip, _unasked)
    assert torch.equal(again.points, found.points) and again.size == found.size
    face = again.at(0)
    assert face is not None and torch.equal(face.points, script.found[0].points)  # type: ignore[union-attr]


def test_an_interrupted_film_goes_on(clip: Path, script: Script) -> None:
    class Stopped(Script):
        def follow(self, picture: Any, last: Any) -> Any:
            if self.calls == 5:
                raise KeyboardInterrupt
            return super().follow(picture, None)

    with pytest.raises(KeyboardInterrupt):
        faces_of_film(clip, lambda: Stopped(script.found))
    rest = Script(script.found[5:])
    assert faces_of_film(clip, lambda: rest).num_frames == FRAMES
    assert rest.calls == FRAMES - 5


def test_what_cannot_be_followed_is_refused(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: Script
) -> None:
    with pytest.raises(TrackingError, match=r"s.wav: no pictures in this file"):
        faces_of_film(tmp_path / "s.wav", _unasked)
    (tmp_path / "broken.mp4").write_bytes(clip.read_bytes()[:600])
    with pytest.raises((VideoError, TrackingError), match=r"broken.mp4"):
        faces_of_film(tmp_path / "broken.mp4", _unasked)
    monkeypatch.setattr(film_faces, "MOST_FRAMES", 5)
    with pytest.raises(TrackingError, match=r"about 14 frames; expected at most 5. Cut the clip: ffmpeg"):
        faces_of_film(clip, _unasked)


def test_the_actor_is_fitted_with_the_head_model_that_moves_alike() -> None:
    whole = builtin_head()
    avatar = tiny_avatar(builtin_head(2), num_surfels=20).rig.head_model
    assert avatar.num_shape == 0
    model, embedding = rig_embedding.embedding_of_actor(avatar, _unasked)
    assert model is whole and embedding is builtin_embedding()


@pytest.fixture
def scripted(script: Script, tiny: tuple[HeadModel, Embedding], monkeypatch: pytest.MonkeyPatch) -> Script:
    """The script in place of the package's detector."""
    monkeypatch.setattr("sage_ns.tracking.detectors.open_detector", lambda: script)
    monkeypatch.setattr(rig_embedding, "embedding_on", lambda model, detector: tiny[1])
    return script


def test_a_clip_is_motion(clip: Path, tiny: tuple[HeadModel, Embedding], scripted: Script) -> None:
    motion = load_motion(clip, tiny[0])
    assert motion.fps == 10.0 and motion.num_rows == FRAMES and motion.source == clip
    assert float(motion.params.jaw_pose[:9, 0].abs().max()) < 0.05 < 0.1 < float(motion.params.jaw_pose[-1, 0])


def test_a_clip_drives_an_avatar_with_its_sound(
    clip: Path, tmp_path: Path, tiny: tuple[HeadModel, Embedding], scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_avatar(tiny[0], num_surfels=60).save(tmp_path / "avatar.npz")
    out = tmp_path / "out.mp4"
    flags = ["--avatar", str(tmp_path / "avatar.npz"), "--motion", str(clip), "--output", str(out), "--width", "16"]
    sage_render([*flags, "--side-by-side"])
    media = inspect_media(out)
    assert media.sound and media.fps == 10.0 and media.seconds == pytest.approx(FRAMES / 10, abs=0.15)
    assert "neutral face" in capsys.readouterr().out
    assert scripted.calls == FRAMES


def test_a_clip_without_a_face_is_refused_before_the_avatar_is_loaded(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sage_ns.tracking.detectors.open_detector", lambda: Script([None]))
    with pytest.raises(TrackingError, match=r"clip.mp4: the first 1 s show no face"):
        reader_for(clip).read_for(clip, "all", _unasked)


def _unasked() -> Any:
    raise AssertionError("asked for what is not needed")
