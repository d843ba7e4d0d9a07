"""The learner as a nerfstudio model: pictures by name in any motion and look, and one way to weigh losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from nerfstudio.cameras.cameras import Cameras

from sage_ns.plugin.model import RAW_TERMS, TERMS_WEIGHT, SageModel
from sage_ns.plugin.model_config import SageModelConfig
from sage_ns.training import losses
from tests.tiny import tiny_head_model
from tests.tiny_capture import tiny_record


def build(**given: Any) -> SageModel:
    config = SageModelConfig(**({"num_surfels": 300, "with_sdf": False} | given))
    metadata, scene_box = tiny_record(tiny_head_model(), canonical_row=1).metadata(), None
    return config.setup(scene_box=scene_box, num_train_data=1, metadata=metadata, seed=0)


def camera(time: float = 1.0) -> Cameras:
    pose = torch.eye(4)[:3]
    pose[2, 3] = 1.0
    return Cameras(pose[None], 90.0, 90.0, 16.0, 20.0, width=32, height=40, times=torch.tensor([[time]]))


def test_outputs_are_drawn_in_any_motion_and_look_and_leave_the_avatar_as_it_is() -> None:
    model = build()
    look, motion = replace(model.avatar.look, surfel_size=0.3), model.motion.motion[0]
    own = model.get_outputs_for_camera(camera())
    held = model.draw_outputs(camera(), motion, look)
    drawn = model.learner.draw(model.pinhole(camera()), motion, look)
    assert torch.equal(held["rgb"], drawn.composite(model.background).clamp(0, 1))
    assert torch.equal(own["rgb"], model.draw_outputs(camera(), model.motion.at_time(1.0))["rgb"])
    assert not torch.equal(held["rgb"], own["rgb"])
    assert torch.equal(model.get_outputs_for_camera(camera())["rgb"], own["rgb"])


def test_losses_of_a_step_and_of_a_plain_rendering_are_weighed_alike() -> None:
    model = build()
    rgb, image = torch.rand(40, 32, 3), torch.rand(40, 32, 3)
    plain = model.get_loss_dict({"rgb": rgb}, {"image": image})
    assert set(plain) == {"l1", "squared", "dissimilarity"}
    assert torch.allclose(plain["l1"], model.config.losses.l1 * losses.l1(rgb, image))
    outputs = {"rgb": rgb, RAW_TERMS: losses.photometric(rgb, image), TERMS_WEIGHT: 0.5}
    halved = model.get_loss_dict(outputs, {})
    assert all(torch.allclose(2 * halved[name], term) for name, term in plain.items())


def test_the_weight_of_a_picture_scales_its_photometric_losses() -> None:
    rendered, truth = torch.rand(40, 32, 3), torch.rand(40, 32, 3)
    whole, third = (losses.photometric(rendered, truth, weight) for weight in (1.0, 1 / 3))
    assert all(torch.allclose(3 * third[name](), whole[name]()) for name in whole)


def test_a_loss_of_weight_zero_is_not_computed() -> None:
    model = build(losses=losses.LossWeights(squared=0.0))

    def fail() -> torch.Tensor:
        raise AssertionError("computed")

    assert model.learner.weigh({"squared": fail}) == {}
    assert model.learner.weigh({"l1": fail}, weight=0.0) == {}


def test_a_checkpoint_holds_the_learner(  # checkpoints name their tensors after it
) -> None:
    assert all(name.startswith("learner.avatar.") for name in build().state_dict() if not name.startswith("device_"))
