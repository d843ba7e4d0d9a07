"""The paper's algorithm on a tiny capture: what each of its settings changes, and both phases to an avatar file."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.motion.source import MotionSource
from sage_ns.plugin.pipeline import SagePipeline
from sage_ns.training.appearance_consistency import _sampling_weight
from sage_ns.training.field_supervision import FieldSupervision
from sage_ns.training.picture_fit import PictureFit
from sage_ns.training.self_supervise import SelfSupervise
from tests.tiny import tiny_head_model, tiny_params
from tests.tiny_capture import write_tiny_capture
from tests.training.test_self_supervise import BORDER, TOTAL, backward, build, learning, phase_2


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny_capture(tmp_path_factory.mktemp("capture") / "person", width=48, height=64)
    tiny_params(tiny_head_model(), 6, seed=3, size=0.05).save_vhap(folder / "driving_bank.npz")
    return folder


@pytest.fixture(scope="module")
def begun(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[SagePipeline, dict[str, Tensor]]:
    """A pipeline as training starts, and its state, to which every test puts it back."""
    pipeline = build(capture, tmp_path_factory.mktemp("out"), method="sage-paper")
    return pipeline, deepcopy(pipeline.model.state_dict())


@pytest.fixture
def pipeline(begun: tuple[SagePipeline, dict[str, Tensor]]) -> Iterator[SagePipeline]:
    pipeline, state = begun
    pipeline.model.load_state_dict(state)
    pipeline.model.zero_grad()
    pipeline.train()
    yield pipeline
    pipeline.model.learner.hold(None)
    assert pipeline.model.canonical is not None
    pipeline.model.canonical.requires_grad_(True)


def taught(pipeline: SagePipeline, step: int = BORDER, **changed: Any) -> tuple[SelfSupervise, dict[str, Tensor]]:
    """Phase 2 with some settings changed, begun at ``step``, and the weighted losses of that step."""
    learner, given = pipeline.model.learner, phase_2(pipeline)
    fit = PictureFit(learner, pipeline.datamanager, 42)
    config = replace(given.config, **changed)
    phase = SelfSupervise(learner, pipeline.datamanager, fit, given.bank, config, given.num_steps, 7)
    phase.begin()
    taken = phase.step(step)
    return phase, learner.weigh(taken.terms, taken.weight)


def test_phase_1_fits_pictures_with_networks_that_are_alone(pipeline: SagePipeline) -> None:
    _, terms, _ = pipeline.get_train_loss_dict(BORDER - 2)
    assert {"l1", "dissimilarity", "depth_distortion", "surface_distance", "field_color", "flatness"} <= set(terms)
    assert not {"squared", "silhouette", "tracked_normal"} & set(terms)
    groups = pipeline.model.get_param_groups()
    assert set(groups) == {"means", "field_grid", "field_network", "appearance", "shape"}
    terms["l1"].backward()
    assert {"means", "field_grid", "appearance", "shape"} <= learning(pipeline)


def test_surfels_are_pulled_to_the_surface(pipeline: SagePipeline) -> None:
    pipeline.get_train_loss_dict(0)[1]["surface_distance"].backward()
    means = pipeline.model.learner.surfels.means.grad
    assert means is not None and means.any()


def test_every_step_of_phase_2_teaches_places_and_shapes_alone(pipeline: SagePipeline) -> None:
    for step in (BORDER, BORDER + 1):
        _, terms = taught(pipeline, step)
        assert set(terms) == {"depth_distortion", "normal_consistency", "appearance"}
        pipeline.model.zero_grad()
        backward(terms)
        assert learning(pipeline) == {"means", "shape"}, "the surface and the appearance are frozen"


@pytest.mark.parametrize(
    ("changed", "frozen"),
    [
        ({"freeze_appearance": None}, True),
        ({"freeze_appearance": None, "appearance_source": "pictures"}, False),
        ({"freeze_appearance": False}, False),
        ({"appearance_source": "pictures"}, True),
    ],
)
def test_the_appearance_is_frozen_where_it_is_the_target(
    pipeline: SagePipeline, changed: dict[str, Any], frozen: bool
) -> None:
    backward(taught(pipeline, **changed)[1])
    assert ("appearance" not in learning(pipeline)) == frozen


@pytest.mark.parametrize("held", [True, False])
def test_hair_learns_in_phase_2_unless_it_is_held(pipeline: SagePipeline, held: bool) -> None:
    learner = pipeline.model.learner
    with torch.no_grad():
        scale = learner.frames(learner.motion.canonical()).scale
        learner.surfels.means[::3, 1] += 0.02 / scale[learner.surfels.triangle[::3]]
    backward(taught(pipeline, hold_hair=held)[1])
    hair, gradient = learner.avatar.hair(), learner.surfels.means.grad
    assert hair[::3].all() and gradient is not None and bool(gradient[hair].any()) != held


def test_pixels_are_drawn_where_the_rendering_is_wrong(pipeline: SagePipeline) -> None:
    learner = pipeline.model.learner
    camera = pipeline.datamanager.registered_views()[0].camera
    buffers = learner.draw(camera, learner.motion.motion[3])
    with torch.no_grad():
        buffers.distortion.zero_()
        buffers.normal.copy_(buffers.alpha * buffers.normal_from_depth)
        buffers.distortion[30, 24] = 1.0
        # All normals agree with the depth map, to the last bit.
        buffers = replace(buffers, alpha=(buffers.normal * buffers.normal_from_depth).sum(dim=-1, keepdim=True))
    here = 30 * 48 + 24
    shares = {}
    for everywhere in (0.0, 0.3, 1.0):
        weight = _sampling_weight(buffers, everywhere)
        shares[everywhere] = float(weight[here] / weight.sum())
    assert shares[0.0] > 0.99 and 0.6 < shares[0.3] < 0.75 and shares[1.0] < 0.01
    consistency = taught(pipeline)[0].consistency
    assert consistency is not None and consistency.everywhere == 0.0


def test_the_field_follows_the_depth_of_the_chosen_teacher(pipeline: SagePipeline) -> None:
    learner = pipeline.model.learner
    shot = pipeline.datamanager.shot(0)
    buffers = learner.draw(shot.camera, learner.motion.canonical())
    buffers = replace(buffers, alpha=torch.ones_like(buffers.alpha))
    background = torch.ones(3)
    canonical = learner.canonical
    assert canonical is not None

    def depth_loss(teacher: Any, moved: str) -> Tensor:
        given = replace(buffers, **{moved: getattr(buffers, moved) + 0.05})
        supervision = FieldSupervision(canonical, learner.rig.head_model, 200, 10, 1.0, 1.0, 0, teacher)
        terms = supervision.ray_terms(0, shot.camera, shot.picture, shot.mask, background, given)
        return terms["field_depth"]()

    for teacher, own, other in (("hit", "depth", "depth_median"), ("median", "depth_median", "depth")):
        plain = depth_loss(teacher, "distortion")
        assert torch.equal(depth_loss(teacher, other), plain)
        assert not torch.equal(depth_loss(teacher, own), plain)
    assert FieldSupervision.of(learner.config, canonical, learner.rig.head_model, 0).teacher == "hit"


def test_tracking_stays_as_it_was_and_hair_stays_at_the_rig(pipeline: SagePipeline) -> None:
    learner = pipeline.model.learner
    before = learner.motion.canonical().clone()
    schedule = pipeline.schedule
    assert schedule is not None
    schedule.after_step(BORDER - 1, {})
    assert torch.equal(learner.motion.canonical(), before)
    offsets = learner.surfels.means.norm(dim=-1)
    assert float(offsets.max()) <= 1.0, "within a triangle's scale, where GaussianAvatars starts them"


def test_both_phases_resumed_in_the_second_and_the_avatar_as_a_file(
    capture: Path, tmp_path: Path, begun: tuple[SagePipeline, dict[str, Tensor]]
) -> None:
    """A training of some steps by hand; one that is resumed in phase 2 goes on as the unbroken one."""
    whole, state = begun
    whole.model.load_state_dict(state)
    middle = BORDER + 3
    _train(whole, 0, middle)
    kept = deepcopy(whole.model.state_dict())
    _train(whole, middle, TOTAL - 2)
    resumed = build(capture, tmp_path, method="sage-paper")
    resumed.load_state_dict({f"_model.{name}": value for name, value in kept.items()})
    _train(resumed, middle, TOTAL - 2)
    mine, theirs = resumed.model.learner, whole.model.learner
    moved = (theirs.surfels.means - kept["learner.avatar.surfels.means"]).norm()
    assert float(moved) > 0
    assert float((mine.surfels.means - theirs.surfels.means).norm()) < 0.05 * float(moved)
    torch.testing.assert_close(
        mine.state_dict()["canonical.appearance.network.heads.0.weight"],
        kept["learner.canonical.appearance.network.heads.0.weight"],
        msg="phase 2 leaves the appearance as it is",
    )

    whole.model.learner.bake()
    whole.model.avatar.save(tmp_path / "avatar.npz")
    loaded = Avatar.load(tmp_path / "avatar.npz")
    look = loaded.look
    assert (look.correction_source, look.correction_gamma, look.wrinkle_rule) == ("similarity", 1.0, "rendered")
    assert (look.distortion, look.supersampling) == ("hit", 1) and loaded.surfels.sh_degree == 3
    camera = loaded.front_camera(48, 64)
    motion: MotionSource = whole.model.motion
    drawn = whole.model.learner.draw(camera, motion.motion[3])
    assert float(drawn.alpha.max()) > 0.5
    assert torch.equal(loaded.draw(camera, motion.motion[3]).color, drawn.color)


def _train(pipeline: SagePipeline, start: int, stop: int) -> None:
    """Plain gradient steps, whose only state are the parameters."""
    pipeline.train()
    groups = pipeline.model.get_param_groups()
    rates = {"means": 1e-2, "shape": 1e-3, "appearance": 1e-3, "field_grid": 1e-4, "field_network": 1e-4}
    schedule = pipeline.schedule
    assert schedule is not None
    for step in range(start, stop):
        pipeline.model.zero_grad()
        sum(pipeline.get_train_loss_dict(step)[1].values(), torch.zeros(())).backward()
        with torch.no_grad():
            for name, parameters in groups.items():
                for each in parameters:
                    if each.grad is not None:
                        each -= rates[name] * each.grad / each.grad.norm().clamp_min(1e-9)
        schedule.after_step(step, {})
    pipeline.model.zero_grad()
