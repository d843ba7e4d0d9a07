"""Which moment becomes the canonical one, and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sage_ns.capture import canonical_moment as module
from sage_ns.capture.canonical_moment import choose_canonical
from sage_ns.rig import FlameParams
from sage_ns.synthetic.head import builtin_head
from tests.capture.turning import frame, moment, still_camera
from tests.tiny import tiny_head_model

TINY = tiny_head_model()


@pytest.fixture(autouse=True)
def equally_sharp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "sharpness_of", lambda frames: [1.0] * len(frames))


def choose(moments: dict[int, FlameParams], head=TINY) -> int:
    return choose_canonical([frame(t) for t in moments], sorted(moments), moments, head).timestep


def test_a_face_from_the_front_is_chosen() -> None:
    assert choose({0: moment(TINY, 51.0), 1: moment(TINY, -20.0), 2: moment(TINY, 5.0), 3: moment(TINY, 30.0)}) == 2


def test_turning_costs_less_than_a_strong_expression() -> None:
    assert choose({0: moment(TINY, 0.0, expression=2.0), 1: moment(TINY, 20.0)}) == 1


def test_with_many_cameras_only_the_most_frontal_one_counts() -> None:
    side = still_camera()
    side[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    side[:3, 3] = [1.0, 0.0, 0.0]
    moments = {0: moment(TINY, 90.0), 1: moment(TINY, 40.0)}
    frames = [frame(0), frame(0, 1, side), frame(1), frame(1, 1, side)]
    assert choose_canonical(frames, [0, 1], moments, TINY).timestep == 0


def test_open_eyes_and_parted_lips_are_chosen() -> None:
    head = builtin_head()
    rest = FlameParams.neutral(head)
    parted = moment(head)
    parted.jaw_pose[:, 0] = 0.04
    names = list(head.expression_names)
    blinking = moment(head)
    blinking.expr[:, [i for i, name in enumerate(names) if "blink" in name.lower()]] = 1.0
    assert (blinking.expr != 0).any()
    assert choose({0: blinking, 1: rest}, head) == 1
    assert choose({0: rest, 1: parted}, head) == 1
    wide = moment(head)
    wide.jaw_pose[:, 0] = 0.4
    assert choose({0: wide, 1: parted}, head) == 1


def test_the_reason_names_the_figures() -> None:
    head = builtin_head()
    reason = choose_canonical([frame(7)], [7], {7: moment(head, 10.0)}, head).reason
    assert "expression 0.0 mm" in reason and "lids open" in reason and "lips parted" in reason
    assert "-11 degrees sideways" in reason


def test_of_equal_moments_the_sharpest_picture_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    grain = np.random.default_rng(0).integers(0, 255, (40, 32, 3), dtype=np.uint8)
    sharp = Image.fromarray(grain)
    pictures = [sharp.filter(ImageFilter.GaussianBlur(1)), sharp, sharp.filter(ImageFilter.GaussianBlur(2))]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    frames = [frame(t, image=tmp_path / f"{t}.png") for t in range(3)]
    moments = {t: moment(TINY, 0.01 * t) for t in range(3)}
    assert choose_canonical(frames, [0, 1, 2], moments, TINY).timestep == 1
