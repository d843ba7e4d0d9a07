"""Phase 2 on a tiny capture: what it asks of the avatar, what learns from it, and when."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sage_ns.plugin.methods import configured
from sage_ns.plugin.pipeline import SagePipeline
from sage_ns.training.config import FieldSettings, SelfSuperviseConfig
from sage_ns.training.picture_fit import PictureFit
from sage_ns.training.reconstruct import Reconstruct
from sage_ns.training.schedule import Schedule
from sage_ns.training.self_supervise import SelfSupervise
from tests.tiny import tiny_head_model, tiny_params
from tests.tiny_capture import write_tiny_capture
from tests.training.wrong_tracking import REFINED_MOTION, found_wrong

TOTAL, BORDER = 28, 20
TAUGHT = {"depth_distortion", "normal_consistency", "appearance"}
OF_PICTURES = {"l1", "squared", "dissimilarity", "silhouette", "position_hinge", "scale_hinge"}
OF_PICTURES |= TAUGHT - {"appearance"}
TINY_FIELD = FieldSettings(num_levels=3, log2_table_size=10, coarsest=4, finest=21, hidden=16, num_features=4)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny_capture(tmp_path_factory.mktemp("capture") / "person", width=48, height=64)
    tiny_params(tiny_head_model(), 6, seed=3, size=0.05).save_vhap(folder / "driving_bank.npz")
    return folder


def build(capture: Path, out: Path, method: str = "sage-multiview", **overrides: Any) -> SagePipeline:
    settings = {
        "output_dir": out,
        "machine.device_type": "cpu",
        "max_num_iterations": TOTAL,
        "pipeline.appearance_rays": 300,
        "pipeline.model.num_surfels": 400,
        "pipeline.model.num_rays": 16,
        "pipeline.model.num_surface_points": 32,
        "pipeline.model.sdf": TINY_FIELD,
    }
    config = configured(method, capture, preset="small", overrides=settings | overrides)
    config.set_timestamp()
    return config.pipeline.setup(device="cpu", test_mode="val")


@pytest.fixture(scope="module", params=[False, True], ids=["own", "networks"])
def begun(
    request: pytest.FixtureRequest, capture: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SagePipeline, dict[str, Tensor]]:
    """A pipeline as training starts, and its state, to which every test puts it back."""
    overrides = {"pipeline.model.networks": request.param}
    pipeline = build(capture, tmp_path_factory.mktemp("out"), **overrides)
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
    pipeline.model.canonical.field.requires_grad_(True)


def phase_2(pipeline: SagePipeline) -> SelfSupervise:
    phase = schedule_of(pipeline).phases[1]
    assert isinstance(phase, SelfSupervise)
    return phase


def schedule_of(pipeline: SagePipeline) -> Schedule:
    assert pipeline.schedule is not None
    return pipeline.schedule


class Teacher:
    """Phase 2 by itself, begun at the first step; its losses as the model weighs them."""

    def __init__(self, pipeline: SagePipeline, anchor: float = 1.0, num_rays: int = 300, seed: int = 7) -> None:
        learner, shots, given = pipeline.model.learner, pipeline.datamanager, phase_2(pipeline)
        config = SelfSuperviseConfig(appearance_rays=num_rays, anchor=anchor)
        fit = PictureFit(learner, shots, pipeline.config.seed)
        self.learner = learner
        self.phase = SelfSupervise(learner, shots, fit, given.bank, config, given.num_steps, seed)
        self._begun = False

    def losses(self, step: int) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        if not self._begun:
            self.phase.begin()
            self._begun = True
        taken = self.phase.step(step)
        return taken.rendered, self.learner.weigh(taken.terms, taken.weight), taken.psnr


def teacher(pipeline: SagePipeline, anchor: float = 1.0, num_rays: int = 300, seed: int = 7) -> Teacher:
    return Teacher(pipeline, anchor, num_rays, seed)


def backward(terms: dict[str, Tensor]) -> None:
    assert all(bool(torch.isfinite(term)) for term in terms.values())
    sum(terms.values(), torch.zeros(())).backward()


def learning(pipeline: SagePipeline) -> set[str]:
    """Groups of parameters that some gradient has reached."""
    groups = pipeline.model.get_param_groups()
    return {name for name, group in groups.items() if any(p.grad is not None and p.grad.any() for p in group)}


def test_taught_steps_teach_surfels_and_leave_the_field_alone(pipeline: SagePipeline) -> None:
    rendered, terms, _ = teacher(pipeline).losses(BORDER)
    assert set(terms) == TAUGHT
    assert rendered.shape == (64, 48, 3) and not rendered.requires_grad
    backward(terms)
    reached = learning(pipeline)
    assert "means" in reached and not reached & {"field_grid", "field_network"}
    own = {"quaternions", "log_scales", "opacity_logits", "sh_dc", "sh_rest"}
    over_the_field = {"shape", "appearance", "detail_dc", "detail_opacity", "detail_shape"}
    assert reached >= (own if pipeline.model.learner.networks is None else over_the_field)


@pytest.mark.parametrize("step", [BORDER, BORDER + 1], ids=["taught", "anchor"])
def test_hair_learns_nothing_more_and_skin_does(pipeline: SagePipeline, step: int) -> None:
    model = pipeline.model.learner
    with torch.no_grad():
        model.surfels.means[::3, 1] += 0.02 / model.frames(model.motion.canonical()).scale[model.surfels.triangle[::3]]
    backward(teacher(pipeline).losses(step)[1])
    hair = model.avatar.hair()
    assert hair[::3].all() and not hair.all()
    own = [getattr(model.surfels, name) for name in model.surfels.PARAMETERS]
    details = [] if model.networks is None else [getattr(model.networks, name) for name in model.networks.DETAILS]
    for each in (each for each in (*own, *details) if each.requires_grad):
        assert each.grad is not None and each.grad[~hair].any() and not each.grad[hair].any()


def test_the_appearance_alone_teaches_colours(pipeline: SagePipeline) -> None:
    teacher(pipeline).losses(BORDER)[1]["appearance"].backward()
    assert learning(pipeline) & {"sh_dc", "detail_dc"}


def test_anchor_steps_are_about_the_pictures_and_leave_the_field_alone(pipeline: SagePipeline) -> None:
    phase = teacher(pipeline)
    _, terms, psnr = phase.losses(BORDER + 1)
    assert set(terms) == (OF_PICTURES if pipeline.model.learner.networks is None else OF_PICTURES | {"flatness"})
    backward(terms)
    reached = learning(pipeline)
    assert "means" in reached and not reached & {"field_grid", "field_network"}
    # Taught steps have no truth to be compared with: they repeat the last picture's figure.
    assert torch.equal(phase.losses(BORDER + 2)[2], psnr) and 5 < float(psnr) < 60


@pytest.mark.parametrize("anchor", [0.0, 0.5, 2.0])
def test_every_second_step_anchors_with_its_weight(pipeline: SagePipeline, anchor: float) -> None:
    phase = teacher(pipeline, anchor)
    kinds = ["appearance" in phase.losses(step)[1] for step in range(BORDER, BORDER + 4)]
    assert kinds == ([True, False, True, False] if anchor else [True] * 4)
    if anchor:
        whole, weighted = (teacher(pipeline, each).losses(BORDER + 1)[1] for each in (1.0, anchor))
        assert all(torch.allclose(weighted[name], anchor * whole[name], rtol=1e-4, atol=1e-8) for name in whole)


@pytest.mark.parametrize("step", [BORDER, BORDER + 1])
def test_a_step_is_a_function_of_seed_and_number(pipeline: SagePipeline, step: int) -> None:
    first = teacher(pipeline).losses(step)[1]
    state = torch.random.get_rng_state()
    used = teacher(pipeline)
    used.losses(step + 2)
    again = used.losses(step)[1]
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, term in first.items():
        torch.testing.assert_close(again[name], term, rtol=1e-5, atol=1e-8)
    assert not torch.equal(used.losses(step + 4)[1]["depth_distortion"], first["depth_distortion"])
    if step % 2 == 0:  # backgrounds of anchor steps are drawn with phase 1's seed
        other = teacher(pipeline, seed=8).losses(step)[1]
        assert not torch.equal(other["depth_distortion"], first["depth_distortion"])


def test_without_rays_nothing_is_looked_up(pipeline: SagePipeline) -> None:
    phase = teacher(pipeline, num_rays=0)
    assert set(phase.losses(BORDER)[1]) == TAUGHT - {"appearance"}
    assert phase.phase.consistency is None


def test_surfels_settle_when_the_phase_begins_and_once(pipeline: SagePipeline) -> None:
    model = pipeline.model.learner
    assert not model.avatar.is_settled
    teacher(pipeline).losses(BORDER)
    assert model.avatar.is_settled
    settled = model.avatar.settled.clone()
    with torch.no_grad():
        model.surfels.means.add_(0.01)
    teacher(pipeline).losses(BORDER + 2)
    assert torch.equal(model.avatar.settled, settled)


def test_a_pipeline_loaded_in_phase_2_goes_on_with_the_same_steps(
    pipeline: SagePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(REFINED_MOTION, found_wrong)
    schedule_of(pipeline).after_step(BORDER - 1, {})  # refines the tracking
    teacher(pipeline).losses(BORDER)
    with torch.no_grad():
        pipeline.model.learner.surfels.means.add_(0.02)
    state = deepcopy(pipeline.model.state_dict())
    before = [teacher(pipeline).losses(step)[1] for step in (BORDER + 1, BORDER + 2)]
    pipeline.model.load_state_dict(state)
    after = [teacher(pipeline).losses(step)[1] for step in (BORDER + 1, BORDER + 2)]
    for now, then in zip(after, before, strict=True):
        for name, term in then.items():
            torch.testing.assert_close(now[name], term, rtol=1e-4, atol=1e-7)


def test_the_pipeline_passes_from_phase_to_phase(pipeline: SagePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REFINED_MOTION, found_wrong)
    assert schedule_of(pipeline).steps() == {"reconstruct": BORDER, "self_supervise": TOTAL - BORDER}
    tracked = pipeline.model.motion.canonical().clone()
    names = []
    for step in (BORDER - 2, BORDER - 1, BORDER, BORDER + 1):
        _, terms, _ = pipeline.get_train_loss_dict(step)
        names.append(set(terms))
        kind = Reconstruct if step < BORDER else SelfSupervise
        assert isinstance(schedule_of(pipeline).current, kind)
        assert pipeline.model.avatar.is_settled == (step >= BORDER)
        schedule_of(pipeline).after_step(step, {})
        # The last step of phase 1 lays the rig onto the surface.
        assert torch.equal(pipeline.model.motion.canonical(), tracked) == (step < BORDER - 1)
    assert "eikonal" in names[0] & names[1] and names[2] == TAUGHT and "l1" in names[3]


def test_many_moments_average_the_tracker_out(capture: Path, tmp_path: Path) -> None:
    frames = {"pipeline.datamanager.dataparser.frames": "multi"}
    pipeline = build(capture, tmp_path, method="sage-multiview", **frames)
    tracked = pipeline.model.motion.canonical().clone()
    schedule_of(pipeline).after_step(BORDER - 1, {})
    assert torch.equal(pipeline.model.motion.canonical(), tracked)


def test_surfels_alone_stay_in_phase_1(capture: Path, tmp_path: Path) -> None:
    pipeline = build(capture, tmp_path, method="surfels")
    assert schedule_of(pipeline).steps() == {"reconstruct": TOTAL}
    pipeline.train()
    _, terms, _ = pipeline.get_train_loss_dict(TOTAL + 5)
    assert isinstance(schedule_of(pipeline).current, Reconstruct) and set(terms) == OF_PICTURES
