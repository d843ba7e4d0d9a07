"""Which frames of a turning head are chosen, and what is said about them."""

from __future__ import annotations

import pytest
import torch

from sage_ns.capture import head_turns as module
from sage_ns.capture.frames import Frame
from sage_ns.capture.head_direction import seen_from
from sage_ns.capture.head_turns import HeadTurns, check_num_frames, head_turns, strata
from sage_ns.errors import CaptureError
from sage_ns.rig import FlameParams
from tests.capture.turning import frame, moment
from tests.tiny import tiny_head_model

MODEL = tiny_head_model()


def clip(yaws: list[float], expressions: list[float] | None = None) -> tuple[list[Frame], dict[int, FlameParams]]:
    expressions = expressions or [0.0] * len(yaws)
    moments = {t: moment(MODEL, yaw, 0.0, e) for t, (yaw, e) in enumerate(zip(yaws, expressions, strict=True))}
    return [frame(t) for t in moments], moments


def chosen(frames: list[Frame], moments: dict[int, FlameParams], num_frames: int | None = None) -> HeadTurns:
    return head_turns(frames, 0, moments, MODEL, "clip", num_frames)


def timesteps(turns: HeadTurns) -> list[int]:
    return [each.timestep for each in turns.frames]


def test_a_head_that_turns_left_shows_its_right_side() -> None:
    frames, moments = clip([0.0, 40.0, -30.0])
    seen = seen_from(frames, moments, MODEL)
    # The camera stays in front: from a head that has turned left it is on the right, at negative yaw.
    torch.testing.assert_close(seen.yaw, torch.tensor([0.0, -40.0, 30.0]), atol=1.5, rtol=0)
    assert seen.pitch.abs().max() < 2
    down = seen_from([frame(0)], {0: moment(MODEL, 0.0, 20.0)}, MODEL)
    assert down.pitch[0] == pytest.approx(20.0, abs=2)


def test_all_frames_of_a_short_clip_are_used() -> None:
    frames, moments = clip([0.0, 20.0, 40.0, -40.0])
    turns = chosen(frames, moments)
    assert timesteps(turns) == [0, 1, 2, 3] and turns.num_left_out == 0
    assert turns.span == pytest.approx(80, abs=4) and turns.warning() is None
    assert "4 frames of a turning head" in turns.summary()


def test_expressions_are_left_out() -> None:
    frames, moments = clip([0.0, 20.0, 40.0, -40.0], [0.0, 0.0, 2.0, 0.0])
    turns = chosen(frames, moments)
    assert timesteps(turns) == [0, 1, 3] and turns.num_left_out == 1


def test_the_sharpest_frame_of_each_direction_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, moments = clip([0.0, 0.5, 28.0, 28.5, -28.0, 1.0, -27.5])
    sharp = {0: 0.0, 1: 5.0, 2: 1.0, 3: 2.0, 4: 9.0, 5: 4.0, 6: 3.0}
    monkeypatch.setattr(module, "sharpness_of", lambda some: [sharp[each.timestep] for each in some])
    assert timesteps(chosen(frames, moments, 3)) == [0, 3, 4]  # the canonical one stays, whatever its sharpness
    assert timesteps(chosen(frames, moments, 5)) == [0, 1, 2, 3, 4]


def test_fewer_frames_are_spread_over_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, moments = clip([0.0, 10.0, 20.0, 30.0, 40.0, 50.0, -50.0])
    monkeypatch.setattr(module, "sharpness_of", lambda some: [1.0] * len(some))
    assert timesteps(chosen(frames, moments, 3)) == [0, 5, 6]


def test_a_head_that_hardly_turns_is_warned_about() -> None:
    warning = chosen(*clip([0.0, 15.0, -10.0])).warning()
    assert warning is not None and "25 degrees only" in warning


@pytest.mark.parametrize("yaws", [[0.0, 1.0, 2.0], [0.0, 0.0]])
def test_a_head_that_does_not_turn_is_refused(yaws: list[float]) -> None:
    with pytest.raises(CaptureError, match=r"clip: frames is rotation, but the head turns by .* --frames all"):
        chosen(*clip(yaws))


def test_one_frame_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"1 of 1 training frames .* --frames single"):
        chosen(*clip([0.0]))
    with pytest.raises(CaptureError, match="1 of 3 training frames"):
        chosen(*clip([0.0, 20.0, 40.0], [0.0, 3.0, 3.0]))


def test_groups_are_directions_and_expressions() -> None:
    frames, moments = clip([0.0, 0.5, 40.0, 0.2, 40.5], [0.0, 0.0, 0.0, 2.0, 0.0])
    groups = strata(frames, 0, moments, MODEL)
    assert groups[0] == groups[1] and groups[2] == groups[4]
    assert len(groups.unique()) == 3


def test_numbers_of_frames_that_make_no_sense_are_refused() -> None:
    check_num_frames(None, "single")
    check_num_frames(2, "rotation")
    for number in (1, 0, -3):
        with pytest.raises(CaptureError, match=f"num_frames is {number}; give a whole number >= 2"):
            check_num_frames(number, "rotation")
    with pytest.raises(CaptureError, match=r"num_frames is 30, but frames is multi\. Give --frames rotation"):
        check_num_frames(30, "multi")
