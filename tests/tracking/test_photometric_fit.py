"""A head that was placed wrongly is drawn back to where its picture shows it, and never made worse."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sage_ns.errors import TrackingError
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.priors.coded import CodedPrior, load_prior
from sage_ns.priors.sources import SHIPPED
from sage_ns.rig.correspondence import RegistrationError
from sage_ns.synthetic.head import builtin_head
from sage_ns.tracking import refiners as refining
from sage_ns.tracking.embedding import builtin_embedding
from sage_ns.tracking.focal import FocalLength
from sage_ns.tracking.joint_fit import KnownCamera
from sage_ns.tracking.landmark_fit import head_at
from sage_ns.tracking.landmark_rig import LandmarkRig
from sage_ns.tracking.photometric_fit import PhotometricFit, PhotometricSettings, SeenHead
from sage_ns.tracking.refiners import Photometric, doubt, judged, refiners
from sage_ns.tracking.window import Window
from tests.tracking.known_head import face_seen, seen_head

SIZE = (96, 120)
FOCAL = FocalLength(200.0, 0.0, "given")
VIEW = KnownCamera.at_rest(FOCAL.pixels, SIZE).view()
SETTINGS = PhotometricSettings(widths=(40.0,), rounds=2, steps=3, landmarks=0.02, num_places=300)
"""Landmarks count for little: those of the test are wrong."""


@pytest.fixture(scope="module")
def prior() -> CodedPrior:
    return load_prior(SHIPPED)


@pytest.fixture(scope="module")
def start(prior: CodedPrior) -> tuple[SeenHead, torch.Tensor]:
    """A head whose picture is drawn by the prior, fitted to landmarks that are turned by four degrees; the truth."""
    model, embedding = builtin_head(), builtin_embedding()
    rig = LandmarkRig(model, embedding)
    truth = seen_head(rig, 6, turn=0.15)
    truth[rig.unknowns.focal] = 0.0
    truth[rig.unknowns.translation] = torch.tensor([0.0, 0.02, -0.5]).double()
    truth[rig.unknowns.expression] = 0.0
    wrong = truth.clone()
    wrong[rig.unknowns.rotation] += torch.tensor([0.07, -0.05, 0.0]).double()
    wrong[rig.unknowns.translation] += torch.tensor([0.001, 0.0, 0.0]).double()
    face = face_seen(rig, wrong, view=VIEW)
    fit = head_at(rig, wrong, model, face, FOCAL, SIZE)
    black = np.zeros((SIZE[1], SIZE[0]))
    seen = SeenHead(
        fit, face, model, embedding, FOCAL, SIZE, Window(0, 0, *SIZE, 1), np.repeat(black[..., None], 3, -1), black
    )
    drawer = PhotometricFit(seen, prior, SETTINGS)
    level = drawer.level(1000.0)
    drawer.person = replace(drawer.person, light=drawer.person.light + 0.3 * torch.eye(9, 3))
    drawing = drawer.draw(level, truth)
    picture, matte = drawing.on_white.double().numpy(), drawing.alpha[..., 0].double().numpy()
    return replace(seen, picture=picture, matte=matte), truth


def degrees_off(x: torch.Tensor, truth: torch.Tensor) -> float:
    off = axis_angle_to_matrix(x[:3]) @ axis_angle_to_matrix(truth[:3]).T
    return math.degrees(math.acos(min(1.0, (float(off.trace()) - 1) / 2)))


def test_a_displaced_head_comes_back(start: tuple[SeenHead, torch.Tensor], prior: CodedPrior) -> None:
    seen, truth = start
    search = PhotometricFit(seen, prior, SETTINGS)
    first, before = search.x, degrees_off(search.x, truth)
    rounds: list[tuple[int, int]] = []
    search.run(lambda done, total: rounds.append((done, total)))
    assert rounds == [(1, 2), (2, 2)]
    assert before > 4.0 and degrees_off(search.x, truth) < 0.5 * before
    assert search.fit().focal == pytest.approx(FOCAL.pixels)
    level = search.level(40.0)
    before_it, after_it = (search.verdict(level, x) for x in (first, search.x))
    assert after_it.energy < before_it.energy and after_it.color_off < 0.7 * before_it.color_off
    assert not search.fit().params.neck_pose.any()


def test_a_head_that_explains_landmarks_and_picture_better_is_kept(
    start: tuple[SeenHead, torch.Tensor], prior: CodedPrior
) -> None:
    seen, truth = start
    search = PhotometricFit(seen, prior, SETTINGS)
    face = face_seen(search.rig, truth, view=VIEW)
    wrong = head_at(search.rig, search.start, seen.model, face, FOCAL, SIZE)
    search = PhotometricFit(replace(seen, face=face, fit=wrong), prior, SETTINGS)
    search.x = truth
    found = judged(search)
    assert found.report["kept"] and found.note == ""
    assert found.report["color_off_after"] < found.report["color_off_before"]
    assert found.report["landmarks_rms_px_after"] < 1e-3 < found.report["landmarks_rms_px_before"]
    assert found.drawing is not None and found.drawing.shape[2] == 3


def test_a_search_that_went_astray_is_not_kept(start: tuple[SeenHead, torch.Tensor], prior: CodedPrior) -> None:
    seen = start[0]
    search = PhotometricFit(seen, prior, SETTINGS)
    search.x = search.x.clone()
    search.x[search.rig.unknowns.rotation] += 0.2
    found = judged(search)
    assert not found.report["kept"] and "fitted to landmarks: the picture's colours did not improve it" in found.note
    torch.testing.assert_close(found.fit.params.rotation, seen.fit.params.rotation)


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ((100.0, 90.0, 0.05, 0.02), None),
        ((100.0, 100.0, 0.05, 0.02), "did not improve"),
        ((100.0, 90.0, 0.05, 0.06), "off its landmarks by 6.0% of the face"),
        ((100.0, 90.0, 0.14, 0.02), "does not look like the picture"),
        ((100.0, 98.0, 0.05, 0.02), "hardly speak for another one"),
    ],
)
def test_a_refined_head_has_to_convince(figures: tuple[float, float, float, float], reason: str | None) -> None:
    found = doubt(*figures)
    assert found is None if reason is None else found is not None and reason in found


def test_the_code_of_the_person_makes_the_drawing_more_like_the_picture(
    start: tuple[SeenHead, torch.Tensor], prior: CodedPrior
) -> None:
    seen, truth = start
    search = PhotometricFit(seen, prior, replace(SETTINGS, code_steps=5))
    search.x = truth
    level = search.level(40.0)
    with torch.no_grad():
        search.person = replace(search.person, attributes=prior.attributes(torch.ones(prior.num_codes)))
        before = search.verdict(level, truth).color_off
        search._fit_person(level)
        assert search.verdict(level, truth).color_off < before


def test_what_hides_the_neck_does_not_count(start: tuple[SeenHead, torch.Tensor], prior: CodedPrior) -> None:
    seen, truth = start
    hidden = np.zeros_like(seen.matte)
    hidden[-30:] = 1.0
    collar = replace(seen, picture=seen.picture.copy(), matte=seen.matte * (1 - hidden))
    collar.picture[-30:] = 1.0
    told = PhotometricFit(replace(collar, hidden=hidden), prior, SETTINGS)
    level = told.level(1000.0)
    assert level.counts[:-30].all() and not level.counts[-30:].any()
    off, off_untold, off_whole = (
        search.verdict(search.level(1000.0), truth).energy
        for search in (told, PhotometricFit(collar, prior, SETTINGS), PhotometricFit(seen, prior, SETTINGS))
    )
    assert off < 1.05 * off_whole < off_untold


def test_a_rig_that_the_prior_does_not_fit_stays_as_fitted(
    start: tuple[SeenHead, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RegistrationError("no head")

    monkeypatch.setattr("sage_ns.tracking.photometric_fit.places_on", refuse)
    found = Photometric().refine(start[0])
    assert found.fit is start[0].fit and found.drawing is None
    assert "landmarks alone: no head" in found.note


def test_landmarks_alone_change_nothing_and_unknown_names_are_refused(start: tuple[SeenHead, torch.Tensor]) -> None:
    found = refiners[refining.LANDMARKS].refine(start[0])
    assert found.fit is start[0].fit and not found.report and not found.note
    with pytest.raises(TrackingError, match="landmarks, photometric"):
        refiners["magic"]
