"""Learning a predictor: from drawn people, and from captures; it goes on where it was stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sage_ns.capture.checked import CaptureOptions
from sage_ns.errors import CaptureError
from sage_ns.priors import predictor_learning
from sage_ns.priors.predictor_augment import Chances, chances, seen
from sage_ns.priors.predictor_clips import ClipFrames, read_clips, square_camera, square_intrinsics
from sage_ns.priors.predictor_learning import PredictorLearning, PredictorTraining, learn_predictor
from sage_ns.priors.predictor_losses import weighed
from sage_ns.priors.predictor_pictures import DrawnHeads
from sage_ns.priors.sitter import reference_head
from sage_ns.raster.cameras import project
from sage_ns.rig import pose_vertices
from tests.priors.predicted import DIRECTIONS, SIZE, drawn, fresh, landmarks
from tests.tiny_capture import write_tiny_capture

SHORT = PredictorLearning(steps=4, clip_steps=2, batch=4, kept_every=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("people")


@pytest.fixture(scope="module")
def heads(folder: Path) -> DrawnHeads:
    return drawn(folder)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipFrames:
    """Two captures of discs; a face that looks ahead is said to be in the middle of every picture."""
    places = [write_tiny_capture(tmp_path_factory.mktemp("clip"), 2, 2, model=reference_head()) for _ in range(2)]
    points = landmarks().points(reference_head().v_template, reference_head())[:, :2]
    middle = 0.5 * (points.amin(dim=0) + points.amax(dim=0))
    face = (points - middle) * torch.tensor([100.0, -100.0]) + torch.tensor([16.0, 20.0])
    return read_clips([CaptureOptions(place) for place in places], lambda picture: face, SIZE.side, 3)


def training(heads: DrawnHeads, clips: ClipFrames | None = None, learning: PredictorLearning = SHORT, seed: int = 0):
    return PredictorTraining(fresh(seed), reference_head(), heads, clips, learning, "cpu")


def plain(count: int) -> Chances:
    """Chances that leave the pictures as they were drawn: no blobs, no noise, light that differs little."""
    given = chances(count, torch.Generator().manual_seed(0))
    still = {
        name: torch.zeros_like(getattr(given, name)) for name in ("shift", "grain", "blobs", "cover", "blur", "noise")
    }
    ones = {name: torch.ones_like(getattr(given, name)) for name in ("zoom", "gain", "gamma")}
    return replace(given, **still, **ones)


def test_drawn_people_are_seen_where_the_truth_says(heads: DrawnHeads) -> None:
    """The rig's vertices, posed by the truth and projected into a square, cover what is drawn there."""
    model = reference_head()
    shown = seen(heads, plain(len(heads)), SIZE.side)
    intrinsics = square_intrinsics(shown.camera, SIZE.side)
    for row in (0, 5, 11):
        vertices = pose_vertices(model, heads.params(row))[0]
        found = project(vertices, square_camera(intrinsics[row], SIZE.side))
        inside = found.inside
        covered = shown.cover[row, found.row[inside], found.column[inside], 0]
        assert float((covered > 0.3).float().mean()) > 0.95
        points = shown.camera.within(landmarks().points(vertices, model)[None].expand(len(heads), -1, -1))[row]
        low, high = points.amin(dim=0), points.amax(dim=0)
        torch.testing.assert_close(0.5 * (low + high), torch.tensor([0.5, 0.5]), atol=0.01, rtol=0)
        assert float((high - low).max()) == pytest.approx(1 / 1.6, abs=0.01)


def test_people_who_were_drawn_are_read(folder: Path, heads: DrawnHeads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sage_ns.priors.predictor_pictures.PaintedPeople", None)
    again = drawn(folder)
    assert all(torch.equal(getattr(again, name), each) for name, each in vars(heads).items())
    fewer = drawn(folder, num_people=2)
    assert len(fewer) == 8
    (folder / "person_00001.npz").write_bytes(b"broken")
    with pytest.raises(TypeError):  # it is drawn again
        drawn(folder)


def test_people_differ_and_rest_now_and_then(heads: DrawnHeads) -> None:
    assert len(heads.shape.unique(dim=0)) == 3 and len(heads.rotation.unique(dim=0)) == 12
    at_rest = (heads.expression == 0).all(dim=1) & (heads.jaw == 0).all(dim=1)
    assert 0 < int(at_rest.sum()) < 12
    assert not heads.shape[:, DIRECTIONS[0] :].any() and not heads.expression[:, DIRECTIONS[1] :].any()


def test_chances_depend_on_the_generator_alone() -> None:
    given, same = (chances(2, torch.Generator().manual_seed(1)) for _ in range(2))
    assert all(torch.equal(getattr(given, name), each) for name, each in vars(same).items())
    # Light comes from everywhere, and some of it from a lamp.
    assert given.light.shape == (2, 9, 3) and float(given.light[:, 0].min()) > 0 and bool(given.light[:, 1:].any())


def test_four_pictures_are_learned_by_heart(heads: DrawnHeads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor_learning, "chances", lambda count, generator: plain(count))
    own = training(heads.rows(torch.arange(4)), learning=PredictorLearning(steps=50, batch=4, rate=8e-3))
    own.known = torch.arange(4)
    monkeypatch.setattr(torch, "randint", lambda high, size, generator=None: torch.arange(size[0]) % high)
    first = {name: float(each.detach()) for name, each in own.step(0).items()}
    for number in range(1, 50):
        last = {name: float(each.detach()) for name, each in own.step(number).items()}
    assert {name for name in ("posed", "still", "landmarks", "light") if last[name] > 0.6 * first[name]} == set()
    assert last["l1"] < 0.9 * first["l1"]


@pytest.mark.slow
def test_people_who_are_not_learned_from_are_predicted_better(tmp_path: Path) -> None:
    own = training(drawn(tmp_path, 8, 24), learning=PredictorLearning(steps=300, batch=16))
    assert own.num_held_out == 1 and not set(own.heads.person[own.known].tolist()) & {7}
    before = own.held_out_error()
    for number in range(300):
        own.step(number)
    after = own.held_out_error()
    assert after.posed < 0.8 * before.posed and after.rotation < 0.8 * before.rotation


def test_a_stopped_run_gives_the_same_weights(
    heads: DrawnHeads, clips: ClipFrames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn_predictor(training(heads, clips), tmp_path / "whole.pt", "same")
    step = PredictorTraining.step

    def stopped(own: PredictorTraining, number: int):
        if number == 3:
            raise KeyboardInterrupt
        return step(own, number)

    monkeypatch.setattr(PredictorTraining, "step", stopped)
    with pytest.raises(KeyboardInterrupt):
        learn_predictor(training(heads, clips), tmp_path / "state.pt", "same")
    monkeypatch.setattr(PredictorTraining, "step", step)
    resumed = learn_predictor(training(heads, clips, seed=7), tmp_path / "state.pt", "same")
    assert (whole.num_people, whole.num_clips) == (3, 2)
    assert all(torch.equal(each, resumed.weights()[name]) for name, each in whole.weights().items())
    other = learn_predictor(training(heads, clips, seed=7), tmp_path / "state.pt", "other")
    assert not torch.equal(other.head.tokens, whole.head.tokens)  # the state of other data is not used


def test_steps_on_clips_lower_their_loss(heads: DrawnHeads, clips: ClipFrames) -> None:
    own = training(heads, clips, PredictorLearning(steps=0, clip_steps=25, drawn=1, rate=0.05))

    def loss() -> float:
        terms = [own.clip_terms(torch.Generator().manual_seed(seed)) for seed in range(6)]
        return sum(float(weighed(each, own.learning.weights).detach()) for each in terms)

    before = loss()
    for number in range(25):
        own.step(number)
    assert loss() < 0.95 * before


def test_pairs_are_two_frames_of_one_capture(clips: ClipFrames) -> None:
    source, target = clips.pairs(200, torch.Generator().manual_seed(0))
    assert bool((source != target).all())
    border = clips.first[1]
    assert bool(((source < border) == (target < border)).all()) and clips.first == (0, 3, 6)


def test_frames_without_a_face_are_left_out(tmp_path: Path) -> None:
    capture = write_tiny_capture(tmp_path, 2, 2, model=reference_head())
    with pytest.raises(CaptureError, match="found 0 training frames that show a face, expected at least 2"):
        read_clips([CaptureOptions(capture)], lambda picture: None, 32, 3)
