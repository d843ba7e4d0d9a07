"""Which face is tracked, and which faces are refused."""

from __future__ import annotations

import pytest
import torch

from sage_ns.errors import TrackingError
from sage_ns.rig import FlameParams
from sage_ns.tracking.choice import check_fit, choose_face
from sage_ns.tracking.face import Face
from sage_ns.tracking.landmark_fit import HeadFit
from tests.tiny import tiny_head_model


def face(width: float, left: float = 0.0, confidence: float = 0.99) -> Face:
    return Face(torch.zeros(478, 3), confidence, {}, (left, 0.0, left + width, 0.9 * width))


def test_the_only_face_and_the_clearly_largest_are_taken() -> None:
    one, other = face(200), face(90, 300)
    assert choose_face([one], None, "photo") is one
    assert choose_face([one, other], None, "photo") is one
    assert choose_face([one, other], "2", "photo") is other
    assert choose_face([one, face(190)], "largest", "photo") is one


@pytest.mark.parametrize(
    ("faces", "wanted", "message"),
    [
        ([], None, "found no face"),
        ([face(200), face(150, 300)], None, r"found 2 faces \(1: 200 px at \(100, 90\); 2: 150 px .*--face largest"),
        ([face(200)], "2", "a number from 1 to 1"),
        ([face(200)], "0", "a number from 1 to 1"),
        ([face(200)], "mine", "expected largest"),
        ([face(30)], None, "30 px wide; expected at least 40"),
        ([face(200, confidence=0.03)], None, "both eyes"),
    ],
)
def test_other_faces_are_refused(faces: list[Face], wanted: str | None, message: str) -> None:
    with pytest.raises(TrackingError, match=message):
        choose_face(faces, wanted, "photo.jpg")


def fit(turn: float, error: float) -> HeadFit:
    params = FlameParams.neutral(tiny_head_model())
    return HeadFit(params, 500.0, torch.zeros(478, 2), torch.full((478,), error), 200.0, turn)


def test_fits_that_do_not_hold_are_refused() -> None:
    check_fit(fit(50.0, 4.0), "photo")
    with pytest.raises(TrackingError, match="turned away by 70 degrees"):
        check_fit(fit(70.0, 4.0), "photo")
    with pytest.raises(TrackingError, match="turned away by 61 degrees; expected at most 60"):
        check_fit(fit(60.2, 4.0), "photo")
    with pytest.raises(TrackingError, match=r"fit no human head.*12.0 px.*6.0%"):
        check_fit(fit(10.0, 12.0), "photo")
    with pytest.raises(TrackingError, match="fit no human head"):
        check_fit(fit(10.0, float("nan")), "photo")
