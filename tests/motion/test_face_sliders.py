"""Sliders of a face: known moves on rigs with and without names, the strongest ones on all others."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from sage_ns.motion.face.sliders import BLINK, FaceSlider, expression, face_sliders, random_expression
from sage_ns.motion.limits import NAMED_LIMITS
from sage_ns.rig import HeadModel
from sage_ns.rig.openings import eye_opening
from sage_ns.synthetic.head import builtin_head
from tests.tiny import tiny_head_model


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return builtin_head()


@pytest.fixture(scope="module", params=["with names", "without names"])
def face(request: pytest.FixtureRequest, head: HeadModel) -> tuple[HeadModel, dict[str, FaceSlider]]:
    model = head if request.param == "with names" else replace(head, expression_names=())
    return model, {slider.name: slider for slider in face_sliders(model)}


def displacement(model: HeadModel, slider: FaceSlider, value: float) -> np.ndarray:
    """Displacement of every vertex by a slider, metres."""
    return model.expression_basis.double().numpy() @ slider.expression(value)


def test_known_sliders_move_the_named_parts(face: tuple[HeadModel, dict[str, FaceSlider]]) -> None:
    model, sliders = face
    lips = model.regions.vertices("lips").numpy()
    across = model.v_template[lips, 0].numpy()
    corners = lips[[across.argmin(), across.argmax()]]
    smile, frown = (displacement(model, sliders["Smile"], value)[corners] for value in (1.0, -1.0))
    assert (smile[:, 1] > 2e-3).all() and (frown[:, 1] < -2e-3).all()
    assert smile[0, 0] < 0 < smile[1, 0], "both corners go outwards"
    pucker = displacement(model, sliders["Pucker"], 1.0)[corners]
    assert pucker[1, 0] < -3e-3 and pucker[0, 0] > 3e-3
    aside = displacement(model, sliders["Mouth aside"], 1.0)[lips]
    assert aside[:, 0].mean() > 1e-3, "to what is right as one sees it from the front: the subject's left"
    for side in ("left", "right"):
        lids = eye_opening(model, side)
        assert lids is not None
        closed = lids.gap(sliders[BLINK].expression(1.0)[None], np.zeros(1)).mean()
        assert abs(closed) < 0.15 * lids.rest.mean()


def test_sliders_are_grouped_and_few(face: tuple[HeadModel, dict[str, FaceSlider]]) -> None:
    groups = [slider.group for slider in face[1].values()]
    assert 8 <= len(groups) <= 12
    assert ("Sneer" in face[1]) == bool(face[0].expression_names), "noses are not fitted"
    assert len(set(groups)) == 1 + sum(a != b for a, b in pairwise(groups))


def test_unknown_names_become_titles(head: HeadModel) -> None:
    def foreign(name: str) -> str:
        words = name.split("_")
        return "x" + "".join(word.capitalize() for word in words)

    model = replace(head, expression_names=tuple(map(foreign, head.expression_names)))
    sliders = {slider.name: slider for slider in face_sliders(model)}
    assert len(sliders) == 10
    smile = sliders["X mouth smile"]
    assert smile.low == 0 and sorted(smile.up[smile.up > 0]) == [1, 1], "left and right on one slider"
    aside = sliders["X jaw"]
    assert aside.low == -1 and (aside.up @ aside.down) == 0, "to the left and to the right on one slider"


def test_without_names_and_regions_sliders_are_components() -> None:
    model = tiny_head_model(num_expression=14)
    sliders = face_sliders(model)
    assert len(sliders) == 10 and all(slider.name.startswith("Component ") for slider in sliders)
    weakest = min(np.linalg.norm(displacement(model, slider, 1.0)) for slider in sliders)
    others = np.linalg.norm(model.expression_basis.double().numpy().reshape(-1, 14), axis=0)
    assert (np.sort(others)[-10:] >= weakest - 1e-12).all()


def test_expressions_stay_within_the_limits(head: HeadModel) -> None:
    sliders = face_sliders(head)
    most = expression(sliders, {slider.name: slider.high for slider in sliders}, head.num_expression, True)
    assert most.max() == NAMED_LIMITS[1] and most.min() >= NAMED_LIMITS[0]
    assert not expression(sliders, {}, head.num_expression, True).any()


def test_random_expressions_are_open_eyed_and_within_their_sliders(head: HeadModel) -> None:
    for model in (head, tiny_head_model()):
        sliders = {slider.name: slider for slider in face_sliders(model)}
        drawn = [random_expression(tuple(sliders.values()), np.random.default_rng(seed)) for seed in range(20)]
        for values, jaw in drawn:
            assert values and BLINK not in values and 0 <= jaw < 0.4
            assert all(sliders[name].low <= value <= sliders[name].high for name, value in values.items())
        assert len({tuple(values.items()) for values, _ in drawn}) > 10
