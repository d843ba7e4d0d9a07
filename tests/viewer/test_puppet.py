"""What the panel holds: its motion by sliders and sequences; no browser is needed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.motion.face.sliders import BLINK, face_sliders
from sage_ns.motion.motion import Motion
from sage_ns.rig import FlameParams
from sage_ns.synthetic.head import builtin_head
from sage_ns.viewer.playback import Playback
from sage_ns.viewer.puppet import BLINK_SECONDS, Puppet
from tests.tiny_avatar import tiny_avatar

FORWARD = torch.tensor([0.0, 0.0, 1.0])
HEAD, FROM_NECK = FlameParams.HEAD, FlameParams.FROM_NECK


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return tiny_avatar(builtin_head(), num_surfels=50)


@pytest.fixture
def puppet(avatar: Avatar) -> Puppet:
    return Puppet(avatar, face_sliders(avatar.rig.head_model), Playback(avatar.motion.recorded()))


def parts(motion: torch.Tensor | None) -> FlameParams:
    assert motion is not None
    return FlameParams.from_motion_vector(motion[None])


def ramp(num_coefficients: int, sequences: tuple[int, ...] = (0, 0, 0, 1, 1)) -> Motion:
    rows = torch.arange(len(sequences)).float()[:, None]
    params = FlameParams.from_motion_vector(0.1 * rows * torch.ones(num_coefficients))
    return Motion.of(params, "ramp", sequences=torch.tensor(sequences))


# ---- manual ----------------------------------------------------------------------------------------------------------


def test_sliders_at_zero_are_the_neutral_head(avatar: Avatar, puppet: Puppet) -> None:
    torch.testing.assert_close(puppet.manual_motion(), avatar.neutral().motion_vector()[0], rtol=0, atol=1e-6)


def test_sliders_turn_joints_in_the_named_direction(avatar: Avatar, puppet: Puppet) -> None:
    puppet.values = {"Jaw open": 20.0, "Jaw aside": 5.0, "Eyes aside": 30.0, "Head turn": 40.0, "Head nod": 10.0}
    params = parts(puppet.manual_motion())
    torch.testing.assert_close(params.jaw_pose[0], torch.tensor([math.radians(20), math.radians(5), 0.0]))
    left, right = params.eyes_pose[0].split(3)
    assert torch.equal(left, right), "both eyes together"
    gaze = axis_angle_to_matrix(left) @ FORWARD
    torch.testing.assert_close(gaze, torch.tensor([0.5, 0.0, math.sqrt(0.75)]))
    before = axis_angle_to_matrix(avatar.neutral().neck_pose[0]) @ FORWARD
    face = axis_angle_to_matrix(params.neck_pose[0]) @ FORWARD
    assert face[0] > before[0] + 0.5 and face[1] < before[1] - 0.1
    puppet.values = {"Eyes up": 30.0}
    up = axis_angle_to_matrix(parts(puppet.manual_motion()).eyes_pose[0, :3]) @ FORWARD
    torch.testing.assert_close(up, torch.tensor([0.0, 0.5, math.sqrt(0.75)]))


def test_face_sliders_move_named_expressions(avatar: Avatar, puppet: Puppet) -> None:
    puppet.values = {"Smile": 0.5}
    names = avatar.rig.head_model.expression_names
    expr = parts(puppet.manual_motion()).expr[0]
    assert expr[names.index("mouth_smile_left")] == expr[names.index("mouth_smile_right")] == 0.5
    puppet.values = {"Smile": -0.5}
    assert parts(puppet.manual_motion()).expr[0][names.index("mouth_frown_left")] == 0.5


def test_a_blink_closes_the_lids_and_opens_them_again(avatar: Avatar, puppet: Puppet) -> None:
    puppet.source = "manual"
    lid = avatar.rig.head_model.expression_names.index("blink_left")

    def closed() -> float:
        return float(parts(puppet.motion()).expr[0, lid])

    assert not puppet.is_moving and not puppet.advance(1.0)
    puppet.blink()
    assert puppet.is_moving and closed() == 0
    assert puppet.advance(BLINK_SECONDS / 2) and closed() == pytest.approx(1.0)
    assert puppet.advance(BLINK_SECONDS) and closed() == 0, "the last picture is one of open eyes"
    assert not puppet.is_moving
    puppet.values = {BLINK: 0.8}
    puppet.blink()
    assert closed() == pytest.approx(0.8), "closed lids stay closed"


def test_a_random_expression_leaves_the_head_where_it_is(puppet: Puppet) -> None:
    puppet.values = {"Head turn": 12.0, "Smile": 1.0, "Jaw open": 29.0}
    puppet.draw_expression(np.random.default_rng(3))
    assert puppet.values["Head turn"] == 12.0 and puppet.values["Jaw open"] < 25
    assert torch.isfinite(puppet.manual_motion()).all()


# ---- driving sequence ------------------------------------------------------------------------------------------------


def test_a_driver_moves_the_face_but_not_the_head(avatar: Avatar, puppet: Puppet) -> None:
    puppet.source = "sequence"
    puppet.playback.use(ramp(avatar.motion.num_coefficients))
    puppet.playback.position = 2.0
    driven = puppet.motion()
    assert driven is not None
    assert torch.equal(driven[HEAD], avatar.motion.canonical()[HEAD])
    torch.testing.assert_close(driven[FROM_NECK], torch.full_like(driven[FROM_NECK], 0.2))
    puppet.moves_head = True
    moved = puppet.motion()
    assert moved is not None and torch.equal(moved[FROM_NECK], driven[FROM_NECK])
    torch.testing.assert_close(moved[HEAD], torch.full((6,), 0.2))


def test_playing_takes_time_and_interpolates_within_a_sequence() -> None:
    playback = Playback(ramp(20))
    assert not playback.advance(1.0), "not before the user presses play"
    playback.play()
    playback.frames_per_second = 10.0
    assert playback.advance(0.05) and playback.frame == 0
    torch.testing.assert_close(playback.motion()[FlameParams.EXPRESSION], torch.full((2,), 0.05))
    playback.advance(0.2)
    assert playback.position == pytest.approx(2.5)
    assert torch.equal(playback.motion(), playback.driver.vectors[2]), "no motion in between two sequences"
    playback.advance(0.3)
    assert playback.position == pytest.approx(0.5) and playback.is_playing, "loops"


def test_without_a_loop_the_end_is_the_end_and_play_starts_again() -> None:
    playback = Playback(ramp(20))
    playback.loops = False
    playback.play()
    assert playback.advance(100.0)
    assert playback.frame == 4 and not playback.is_playing
    playback.play()
    assert playback.frame == 0 and playback.is_playing
    playback.advance(0.05)
    playback.use(ramp(20, (0,)))
    assert playback.position == 0.0
    playback.advance(0.05)
    assert torch.equal(playback.motion(), torch.zeros(20))


def test_only_the_current_source_advances(puppet: Puppet) -> None:
    puppet.playback.play()
    puppet.source = "manual"
    assert not puppet.is_moving and not puppet.advance(0.1) and puppet.playback.position == 0
    puppet.source = "sequence"
    assert puppet.is_moving and puppet.advance(0.1) and puppet.playback.position > 0


# ---- live ------------------------------------------------------------------------------------------------------------


def test_a_live_actor_moves_the_avatar_at_its_place(avatar: Avatar, puppet: Puppet) -> None:
    canonical = avatar.motion.canonical()
    puppet.source = "live"
    resting = puppet.motion()
    assert resting is not None and torch.equal(resting[HEAD], canonical[HEAD]) and not resting[FROM_NECK].any()
    pose = torch.linspace(0, 0.1, len(canonical))
    puppet.live = lambda: pose
    assert puppet.is_moving and puppet.advance(0.04), "a pose that was not drawn yet"
    assert not puppet.advance(0.04), "the same pose again"
    moved = puppet.motion()
    assert moved is not None and torch.equal(moved[FROM_NECK], pose[FROM_NECK])
    assert torch.equal(moved[HEAD], canonical[HEAD])
    puppet.moves_head = True
    along = puppet.motion()
    assert along is not None
    place = FlameParams.TRANSLATION
    torch.testing.assert_close(along[place], canonical[place] + pose[place])
    assert torch.equal(along[FlameParams.ROTATION], canonical[FlameParams.ROTATION])
