"""Where a fit begins: at the mean head, or at the head that a predictor sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.cli import track as cli
from sage_ns.errors import SageError, TrackingError
from sage_ns.rig import FlameParams
from sage_ns.synthetic.head import builtin_head
from sage_ns.tracking import track_clip, track_photo
from sage_ns.tracking.clip import Clip
from sage_ns.tracking.embedding import builtin_embedding
from sage_ns.tracking.face import Face
from sage_ns.tracking.focal import FocalLength
from sage_ns.tracking.joint_fit import KnownCamera, Sighting, fit_moments
from sage_ns.tracking.landmark_fit import fit_landmarks
from sage_ns.tracking.landmark_rig import LandmarkRig
from sage_ns.tracking.starts import StartFiles, one_person, starts
from sage_ns.tracking.track_photo import Networks, PhotoOptions
from tests.priors.predicted import fresh
from tests.tiny import tiny_head_model, tiny_params
from tests.tracking.known_head import FOCAL, SIZE, face_of, face_seen, random_embedding, seen_head
from tests.tracking.test_landmark_fit import CENTER, rotation_error, truth

KNOWN = FocalLength(FOCAL, 0.0, "given")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("predictor") / "predictor.npz"
    fresh().save(path)
    return path


def test_a_fit_that_begins_at_the_person_keeps_what_landmarks_do_not_say() -> None:
    """Landmarks that count little: the identity stays where the fit begins, not at the mean person."""
    model, embedding = builtin_head(), random_embedding(builtin_head())
    rig = LandmarkRig(model, embedding, CENTER)
    x = seen_head(rig, 4)
    face, true = face_seen(rig, x, noise=2.0), truth(rig, x, model)
    alone, begun = (fit_landmarks(face, model, embedding, KNOWN, SIZE, 0.5, start) for start in (None, true))
    off = [float((fit.params.shape - true.shape).norm()) for fit in (alone, begun)]
    assert off[1] < 0.5 * off[0]
    assert rotation_error(begun, x) < 2.0


def test_a_start_that_is_turned_away_is_turned_back() -> None:
    model, embedding = builtin_head(), random_embedding(builtin_head())
    rig = LandmarkRig(model, embedding, CENTER)
    x = seen_head(rig, 5)
    face, true = face_seen(rig, x), truth(rig, x, model)
    wrong = replace(true, rotation=true.rotation + 0.3, translation=true.translation + 0.03)
    assert rotation_error(fit_landmarks(face, model, embedding, KNOWN, SIZE, 5e-3, wrong), x) < 0.5


def test_every_moment_begins_at_its_own_head() -> None:
    model, embedding = builtin_head(), random_embedding(builtin_head())
    rig = LandmarkRig(model, embedding, CENTER)
    first, second = seen_head(rig, 6), seen_head(rig, 6)
    second[rig.unknowns.rotation] = torch.tensor([0.0, -0.4, 0.0]).double()
    sightings = [Sighting(moment, 0, face_seen(rig, x)) for moment, x in enumerate((first, second))]
    start = one_person([truth(rig, first, model), truth(rig, second, model)])
    fit = fit_moments(sightings, [KnownCamera.at_rest(FOCAL, SIZE)], model, embedding, error=5e-3, start=start)
    torch.testing.assert_close(fit.params.rotation, start.rotation, atol=5e-3, rtol=0)
    assert float((fit.params.shape - start.shape).abs().max()) < 0.05


def test_one_person_has_the_mean_identity_and_all_moments() -> None:
    model = tiny_head_model()
    heads = [replace(tiny_params(model, 1, seed), static_offset=None) for seed in (0, 1)]
    person = one_person(heads)
    torch.testing.assert_close(person.shape, 0.5 * (heads[0].shape + heads[1].shape))
    torch.testing.assert_close(person.rotation, torch.cat([heads[0].rotation, heads[1].rotation]))


def test_the_mean_head_needs_no_file(file: Path) -> None:
    assert starts["landmarks"].open(StartFiles(), builtin_head()) is None
    with pytest.raises(TrackingError, match="is used by --initialise predictor alone"):
        starts["landmarks"].open(StartFiles(predictor=file), builtin_head())
    for name in ("landmarks", "predictor"):
        with pytest.raises(TrackingError, match="is used by --initialise tracker alone"):
            starts[name].open(StartFiles(tracker_file=file), builtin_head())


def test_predictors_that_cannot_be_used_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"--predictor FILE\. None comes with the package"):
        starts["predictor"].open(StartFiles(), builtin_head())
    with pytest.raises(SageError, match=r"learned for the head model .*not for 'tiny'"):
        starts["predictor"].open(StartFiles(file), tiny_head_model())
    with pytest.raises(SageError, match=r"missing\.npz"):
        starts["predictor"].open(StartFiles(tmp_path / "missing.npz"), builtin_head())
    with pytest.raises(TrackingError, match="start 'guess': choose one of landmarks, predictor, tracker"):
        starts["guess"]


class _Reached(Exception):
    """The fit was reached."""


def _photo(folder: Path) -> tuple[Path, Face]:
    path = folder / "photo.png"
    Image.fromarray(np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)).save(path)
    rig = LandmarkRig(builtin_head(), builtin_embedding(), CENTER)
    return path, face_seen(rig, seen_head(rig, 1))


def test_a_photo_is_fitted_from_what_the_predictor_sees(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, face = _photo(tmp_path)
    given: list[FlameParams] = []

    def fit(*_: object, start: FlameParams) -> None:
        given.append(start)
        raise _Reached

    monkeypatch.setattr(track_photo, "fit_landmarks", fit)
    options = PhotoOptions(path, tmp_path / "out", initialise="predictor", predictor=file)
    networks = Networks(lambda picture: [face], lambda picture: np.ones(picture.shape[:2]))
    with pytest.raises(_Reached):
        track_photo.track_photo(options, builtin_head(), networks)
    assert given[0].num_timesteps == 1 and float(given[0].translation[0, 2]) < -0.2


def test_frames_of_a_clip_begin_at_heads_of_their_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = starts["predictor"].open(StartFiles(file), builtin_head(), frames=30)
    assert start is not None
    _, face = (
        face_of(torch.rand(478, 2) * 50 + 20, torch.zeros(478)),
        face_of(torch.rand(478, 2) * 50, torch.zeros(478)),
    )
    frames = [track_clip.ClipFrame(index, index / 10) for index in range(2)]
    seen = [track_clip.SeenFrame(frame, face) for frame in frames]
    picture = np.zeros((100, 120, 3), np.uint8)
    monkeypatch.setattr(track_clip, "pictures", lambda clip, wanted: ((frame, picture) for frame in wanted))
    clip = Clip(file, (120, 100), 10.0, 0.0, None, "")
    heads = track_clip._first_heads(clip, seen, start, KNOWN, builtin_embedding())
    assert list(heads) == frames and heads[frames[1]].num_timesteps == 1


def test_a_folder_of_pictures_does_not_begin_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(SystemExit):
        cli.main([str(tmp_path / "pictures"), str(tmp_path / "out"), "--initialise", "predictor"])
    assert "this option is for other inputs" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["learn", "a", "b", "--output", "x.npz", "--model", "predictor"], "sage-prior learn-predictor OUT.npz"),
        (["learn-predictor", "x.npz", "--people", "0"], "--people 0: expected 1 to"),
        (["learn-predictor", "x.npz", "--size.side", "50"], "'side' is 50; expected a multiple of 16"),
        (["learn-predictor", "x.npz", "--device", "tpu"], "expected cpu or cuda"),
        (["learn-predictor", "x.txt"], "give a name that ends in .npz"),
    ],
)
def test_the_command_refuses(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from sage_ns.cli.prior import main

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in " ".join(capsys.readouterr().out.split()) and not list(tmp_path.iterdir())


def test_the_command_learns_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sage_ns.cli.prior import main
    from sage_ns.priors.predictor import load_predictor

    arguments = ["learn-predictor", str(tmp_path / "me.npz"), "--people", "2", "--pictures", "2", "--steps", "2",
                 "--batch", "2", "--size.side", "32", "--size.width", "16", "--size.blocks", "1", "--size.heads", "2",
                 "--size.places", "100", "--size.features", "4", "--size.place-width", "4"]  # fmt: skip
    monkeypatch.setattr("sage_ns.tracking.face_landmarker.load_face_landmarker", lambda: None)
    main(arguments)
    learned = load_predictor(tmp_path / "me.npz")
    assert learned.num_people == 2 and "held out" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(arguments)
    assert "--overwrite" in capsys.readouterr().out
    monkeypatch.setattr("sage_ns.priors.predictor_pictures.PaintedPeople", None)
    main([*arguments, "--overwrite"])  # people and weights are those of the first run
    again = load_predictor(tmp_path / "me.npz")
    assert all(torch.equal(each, learned.weights()[name]) for name, each in again.weights().items())
