"""A live actor: calibration, poses, lost faces, and the line that says how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from sage_ns.errors import NetworkError
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.face import Face
from sage_ns.tracking.live_actor import LiveActor, LiveDriver
from sage_ns.video.ffmpeg import VideoError
from tests.tiny import tiny_head_model
from tests.tracking.acted_film import SIZE, Script, faces, landmarks, moments
from tests.tracking.known_head import random_embedding

PICTURE = torch.zeros(SIZE[1], SIZE[0], 3, dtype=torch.uint8)


@pytest.fixture(scope="module")
def tiny() -> tuple[HeadModel, Embedding]:
    model = tiny_head_model()
    return model, random_embedding(model)


@pytest.fixture(scope="module")
def found(tiny: tuple[HeadModel, Embedding]) -> list[Face]:
    """Three neutral faces, then three with an open mouth."""
    params = moments(tiny[0], 6)
    params.jaw_pose[3:, 0] = 0.2
    return faces(landmarks(*tiny, params))


class Pictures:
    """Pictures that never end, or end with an error."""

    name = "a stage"

    def __init__(self, last: int | None = None) -> None:
        self.closed, self.shown, self.last = False, 0, last

    def newest(self) -> np.ndarray | None:
        self.shown += 1
        if self.last is not None and self.shown > self.last:
            raise VideoError("a stage: the camera has stopped")
        return PICTURE.numpy()

    def close(self) -> None:
        self.closed = True


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_first_second_is_neutral_then_poses_follow(tiny: tuple[HeadModel, Embedding], found: list[Face]) -> None:
    actor = LiveActor(Script([None, *found[:3], *found[3:], None, found[5]]), *tiny)
    statuses, jaws = [], []
    for number in range(9):
        actor.see(PICTURE, 0.6 * number)
        statuses.append(actor.status)
        jaws.append(None if actor.pose is None else float(actor.pose[FlameParams.JAW.start]))
    assert statuses[0] == "looking for a face" and statuses[1:4] == ["keep a neutral face"] * 3
    assert statuses[4:7] == ["", "", ""] and statuses[7] == "face lost" and statuses[8] == ""
    assert jaws[3] is None and all(jaw is not None and jaw > 0.1 for jaw in jaws[4:])
    assert jaws[7] == jaws[6], "the last pose is held"
    actor.calibrate()
    actor.see(PICTURE, 9.0)
    assert actor.status == "looking for a face" and actor.pose is not None, "the pose stays meanwhile"


def test_a_driver_says_how_it_goes_and_ends(tiny: tuple[HeadModel, Embedding], found: list[Face]) -> None:
    pictures = Pictures()
    driver = LiveDriver(pictures, lambda: LiveActor(Script(found[:2]), *tiny))
    assert driver.pose is None and driver.status == "driven by a stage: loading the networks"
    driver.start()
    wait_until(lambda: driver.pose is not None)
    assert driver.status.startswith("driven by a stage: ") and driver.status.endswith("frames/s")
    driver.calibrate()
    wait_until(lambda: "neutral" in driver.status)
    driver.close()
    assert pictures.closed and not driver._thread.is_alive()


def test_what_stops_it_is_said(tiny: tuple[HeadModel, Embedding], found: list[Face]) -> None:
    def missing() -> LiveActor:
        raise NetworkError("weights.npz: no such file")

    for actor, said in (
        (missing, "stopped: weights.npz: no such file"),
        (lambda: LiveActor(Script(found), *tiny), "stopped: a stage: the camera has stopped"),
    ):
        pictures = Pictures(last=1)
        driver = LiveDriver(pictures, actor)
        driver.start()
        wait_until(lambda pictures=pictures: pictures.closed)
        assert driver.status == f"driven by a stage: {said}"
