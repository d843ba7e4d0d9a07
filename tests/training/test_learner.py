"""The learner between its phases: settled surfels, refined tracking, and checkpoints with and without a mouth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sage_ns.capture.shot import Shot
from sage_ns.raster import PinholeCamera
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.synthetic.head import builtin_head
from sage_ns.training.config import FieldSettings, LearnerConfig
from sage_ns.training.learner import Learner
from sage_ns.training.start import start_learner
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar
from tests.tiny_capture import tiny_record
from tests.training.wrong_tracking import REFINED_MOTION, found_wrong

SMALL_FIELD = FieldSettings(num_levels=2, log2_table_size=8, coarsest=4, finest=9, hidden=16, num_features=2)
CANONICAL = 1


def build(head: HeadModel, shots: list[Shot] | None = None, **given: Any) -> Learner:
    """Return the learner of an avatar on ``head``, initialised from ``shots``; without shots, an empty one."""
    settings = {"num_surfels": 300, "sdf": SMALL_FIELD, "networks": False, "ray_samples": (8, 8)} | given
    return start_learner(
        LearnerConfig(**settings), tiny_record(head, CANONICAL), None if shots is None else lambda: shots, seed=0
    )


@pytest.fixture(params=[False, True], ids=["own", "networks"])
def untrained(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Learner]:
    """Its tracking is found to be wrong, whatever its field says, which has not been trained."""
    monkeypatch.setattr(REFINED_MOTION, found_wrong)
    torch.manual_seed(0)
    learner = build(tiny_head_model(), networks=request.param)
    if learner.networks is not None:
        learner._baked = False  # as after a training step
    yield learner


def camera() -> PinholeCamera:
    pose = torch.eye(4)
    pose[2, 3] = 1.0
    return PinholeCamera.from_opengl(pose, 90.0, 90.0, 16.0, 20.0, 32, 40)


class Asking:
    """As much of nerfstudio's camera as the motion source looks at."""

    def __init__(self, motion: Tensor | None = None) -> None:
        self.metadata: dict[Any, Any] | None = None if motion is None else {"motion": motion[None]}
        self.times: Tensor | None = None


def placed(learner: Learner) -> tuple[Tensor, ...]:
    """Centres, rotations up to their sign, and scales of all surfels in the world at the canonical moment."""
    with torch.no_grad():
        prediction = learner.predict()
        attributes = None if prediction is None else prediction.attributes
        surfels = learner.surfels.place(
            learner.frames(learner.motion.canonical()), torch.zeros(3), attributes=attributes
        )
    turned = torch.einsum("ni,nj->nij", surfels.quaternions, surfels.quaternions)
    return surfels.means, turned, surfels.scales


def test_refined_tracking_leaves_surfels_where_they_are(untrained: Learner) -> None:
    before, tracked = placed(untrained), untrained.motion.canonical().clone()
    vertices = untrained.rig.vertices(tracked)
    untrained.refine_tracking()
    refined = untrained.motion.canonical()
    assert (untrained.rig.vertices(refined) - vertices).norm(dim=-1).max() > 1e-4, "the rig has moved"
    for now, then in zip(placed(untrained), before, strict=True):
        torch.testing.assert_close(now, then, rtol=0, atol=1e-6 if now.dim() == 2 else 1e-5)
    # What is baked says the same as the networks.
    untrained.bake()
    baked = untrained.surfels.place(untrained.frames(refined), torch.zeros(3))
    torch.testing.assert_close(baked.means, before[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(baked.scales, before[2], rtol=0, atol=1e-6)


def test_all_cameras_of_the_moment_get_the_refined_motion_and_others_do_not(untrained: Learner) -> None:
    rows = untrained.motion.motion.clone()
    untrained.refine_tracking()
    refined = untrained.motion.canonical()
    assert not torch.equal(refined, rows[CANONICAL])
    assert torch.equal(refined[9:], rows[CANONICAL, 9:])
    for asking in (Asking(), Asking(rows[CANONICAL])):
        assert torch.equal(untrained.motion.at(asking), refined)
    for row in (0, 2, 3):
        assert torch.equal(untrained.motion.at(Asking(rows[row])), rows[row])


def test_nothing_is_refined_on_request_or_without_a_surface(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REFINED_MOTION, lambda *_, **__: pytest.fail("refined"))
    for learner in (build(tiny_head_model(), refine_tracking="never"), build(tiny_head_model(), with_sdf=False)):
        before = learner.motion.canonical().clone()
        learner.refine_tracking()
        assert torch.equal(learner.motion.canonical(), before)


def test_the_correction_follows_surfels_until_they_settle(untrained: Learner) -> None:
    assert not untrained.avatar.is_settled
    first = untrained.avatar.correction
    assert first is not None and untrained.avatar.correction is first, "made once"
    untrained.avatar.settle()
    assert untrained.avatar.is_settled and untrained.avatar.correction is not first
    settled = untrained.avatar.settled.clone()
    torch.testing.assert_close(
        settled, untrained.surfels.centers(untrained.frames(untrained.motion.canonical())).detach()
    )
    with torch.no_grad():
        untrained.surfels.means.add_(0.5)
    second = untrained.avatar.correction
    untrained.avatar.settle()
    assert torch.equal(untrained.avatar.settled, settled), "once"
    assert untrained.avatar.correction is second


def test_a_checkpoint_brings_settled_places_and_refined_motion(untrained: Learner) -> None:
    untrained.refine_tracking()
    untrained.avatar.settle()
    with torch.no_grad():
        untrained.surfels.means.add_(0.1)
    other = build(tiny_head_model(), networks=untrained.networks is not None, num_surfels=200)
    tracked = other.motion.canonical().clone()
    assert not other.avatar.is_settled
    other.load_state_dict(untrained.state_dict())
    assert other.avatar.is_settled and torch.equal(other.avatar.settled, untrained.avatar.settled)
    other.avatar.settle()
    assert torch.equal(other.avatar.settled, untrained.avatar.settled)
    assert torch.equal(other.motion.at(Asking(tracked)), untrained.motion.canonical())
    posed = untrained.motion.motion[3]
    with torch.no_grad():
        mine, theirs = (learner.draw(camera(), posed).color for learner in (untrained, other))
    torch.testing.assert_close(theirs, mine, rtol=0, atol=1e-5)
    unsettled = build(tiny_head_model(), networks=untrained.networks is not None)
    untrained.load_state_dict(unsettled.state_dict())
    assert not untrained.avatar.is_settled


def test_a_config_without_correction_has_none() -> None:
    learner = build(tiny_head_model(), with_sdf=False, correction=False)
    learner.avatar.settle()
    for draw in (learner.draw, learner.draw_fine):
        assert draw(camera(), learner.motion.motion[3]).alpha.amax() > 0.5
    assert not learner.avatar._corrections, "nobody asked for it"


@pytest.fixture(scope="module")
def head_with_mouth() -> HeadModel:
    return builtin_head(2)


def grey_shot() -> Shot:
    return Shot(camera(), torch.full((40, 32, 3), 0.2), torch.ones(40, 32, 1))


def test_checkpoints_fit_avatars_with_and_without_a_mouth(head_with_mouth: HeadModel) -> None:
    with_mouth, without = (
        build(head_with_mouth, [grey_shot()], mouth=mouth, with_sdf=False, num_surfels=200) for mouth in (True, False)
    )
    assert with_mouth.avatar.mouth is not None and without.avatar.mouth is None
    again, plain = (build(head_with_mouth, mouth=mouth, with_sdf=False, num_surfels=50) for mouth in (True, False))
    assert again.avatar.mouth is not None
    again.load_state_dict(with_mouth.state_dict())
    assert torch.equal(again.avatar.mouth.surfels.sh_dc, with_mouth.avatar.mouth.surfels.sh_dc), (
        "the mouth in this person's light"
    )
    plain.load_state_dict(with_mouth.state_dict())
    assert plain.avatar.mouth is None and torch.equal(plain.surfels.means, with_mouth.surfels.means)
    # An avatar that was trained without a mouth can be given one.
    own = {name: value.clone() for name, value in again.avatar.mouth.state_dict().items()}
    again.load_state_dict(without.state_dict())
    assert torch.equal(again.surfels.means, without.surfels.means)
    assert all(torch.equal(value, own[name]) for name, value in again.avatar.mouth.state_dict().items())


def test_the_mouth_is_drawn_but_never_trained(head_with_mouth: HeadModel) -> None:
    learner = build(head_with_mouth, [grey_shot()], with_sdf=False, num_surfels=200)
    assert learner.avatar.mouth is not None
    given = {id(parameter) for group in learner.param_groups().values() for parameter in group}
    assert not any(parameter.requires_grad or id(parameter) in given for parameter in learner.avatar.mouth.parameters())
    motion = learner.motion.canonical().clone()
    motion[9] = 0.4  # the jaw
    close = replace(camera(), intrinsics=camera().intrinsics * torch.tensor([[4.0], [4.0], [1.0]]))
    learner.draw_fine(close, motion).color.sum().backward()
    assert learner.surfels.means.grad is not None and learner.surfels.means.grad.any()
    assert all(parameter.grad is None for parameter in learner.avatar.mouth.parameters())


def test_a_head_without_a_mouth_does_without(capsys: pytest.CaptureFixture[str]) -> None:
    learner = build(tiny_head_model(), with_sdf=False)
    assert learner.avatar.mouth is None and "No mouth interior" in capsys.readouterr().out
    assert learner.draw(camera(), FlameParams.neutral(tiny_head_model()).motion_vector()[0]).alpha.amax() > 0.5


def test_training_starts_from_an_avatar_file(tmp_path: Path) -> None:
    donor = tiny_avatar(tiny_head_model(), 120)
    donor.save(tmp_path / "donor.npz")
    learner = build(tiny_head_model(), [grey_shot()], with_sdf=False, start_from=tmp_path / "donor.npz")
    assert learner.surfels.num_surfels == 120
    assert torch.equal(learner.surfels.means, donor.surfels.means)
    with torch.no_grad():
        learner.surfels.means.add_(1.0)
    # What it started from is of no account to an avatar that is loaded, and need not be there any more.
    (tmp_path / "donor.npz").unlink()
    again = build(tiny_head_model(), with_sdf=False, start_from=tmp_path / "donor.npz")
    again.load_state_dict(learner.state_dict())
    assert torch.equal(again.surfels.means, learner.surfels.means)
