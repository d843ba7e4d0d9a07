"""Densification in the course of a phase: when it acts, what it changes, and that it stays within its limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from sage_ns.avatar.avatar_file import AvatarFileError, save_avatar
from sage_ns.avatar.growth.densification import DensificationSettings
from sage_ns.capture.shot import Shot
from sage_ns.plugin.baselines import gaussian_avatars_config
from sage_ns.raster import PinholeCamera
from sage_ns.training.densification import Densification, scene_extent
from sage_ns.training.learner import Learner
from sage_ns.training.picture_fit import PictureFit
from sage_ns.training.reconstruct import Reconstruct
from sage_ns.training.start import start_learner
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar
from tests.tiny_capture import tiny_record

HEAD = tiny_head_model()
NUM = HEAD.num_triangles


def camera(x: float = 0.0) -> PinholeCamera:
    pose = torch.eye(4)
    pose[0, 3], pose[2, 3] = x, 1.0
    return PinholeCamera.from_opengl(pose, 90.0, 90.0, 16.0, 20.0, 32, 40)


class Pictures:
    """A red disc on white, seen by two cameras."""

    num_moments = 1

    def __init__(self) -> None:
        self.cameras: Sequence[PinholeCamera] = [camera(-0.1), camera(0.1)]
        y, x = torch.meshgrid(torch.arange(40.0), torch.arange(32.0), indexing="ij")
        inside = ((x - 16) ** 2 + (y - 20) ** 2 < 81.0)[..., None]
        self.picture = torch.where(inside, torch.tensor([0.8, 0.1, 0.1]), torch.ones(3))

    def shot(self, step: int) -> Shot:
        return Shot(self.cameras[step % 2], self.picture)

    def registered_views(self) -> list[Shot]:
        return []


def learner(**densification: Any) -> Learner:
    config = gaussian_avatars_config()
    config.densification = DensificationSettings(**{"enabled": True, "most": 400} | densification)
    return start_learner(config, tiny_record(HEAD, 0), lambda: [], seed=0)


def optimizers(trained: Learner) -> dict[str, Optimizer]:
    rates = {"means": 5e-3, "quaternions": 1e-3, "log_scales": 1.7e-2, "opacity_logits": 5e-2, "sh_dc": 2.5e-2}
    return {name: Adam(params, rates.get(name, 1e-4), eps=1e-15) for name, params in trained.param_groups().items()}


def train(trained: Learner, num_steps: int, until: int | None = None) -> list[float]:
    pictures = Pictures()
    phase = Reconstruct(trained, pictures, PictureFit(trained, pictures, 0), num_steps, seed=0)  # type: ignore[arg-type]
    steppers, losses = optimizers(trained), []
    for step in range(until or num_steps):
        taken = phase.step(step)
        weighed = trained.weigh(taken.terms, taken.weight)
        total = sum(weighed.values(), torch.zeros(()))
        total.backward()
        for each in steppers.values():
            each.step()
            each.zero_grad()
        phase.after_step(step, steppers)
        losses.append(float(total.detach()))
    return losses


def test_training_fits_the_pictures_and_grows_up_to_the_limit() -> None:
    trained = learner(most=150, gradient=1e-5, reset_every=10.0)
    losses = train(trained, 90)
    assert losses[-1] < 0.4 * losses[0]
    assert NUM < trained.surfels.num_surfels <= 150
    assert torch.bincount(trained.surfels.triangle, minlength=NUM).min() >= 1
    assert trained.screen_gradients is not None and len(trained.screen_gradients.total) == trained.surfels.num_surfels


def test_only_the_losses_of_gaussian_avatars_are_computed() -> None:
    trained = learner()
    pictures = Pictures()
    phase = Reconstruct(trained, pictures, PictureFit(trained, pictures, 0), 10, seed=0)  # type: ignore[arg-type]
    assert set(trained.weigh(phase.step(0).terms)) == {"l1", "dissimilarity", "position_hinge", "scale_hinge"}


def test_degrees_of_colour_are_trained_one_after_the_other() -> None:
    trained = learner()
    pictures = Pictures()
    phase = Reconstruct(trained, pictures, PictureFit(trained, pictures, 0), 1200, seed=0)  # type: ignore[arg-type]
    for step, expected in ((0, 0), (1, 0), (2, 3), (5, 8), (6, 15), (900, 15)):
        phase.step(step).terms["l1"]().backward()
        gradient = trained.surfels.sh_rest.grad
        assert gradient is not None
        assert int(gradient.abs().amax(dim=(0, 2)).count_nonzero()) == expected, step
        trained.zero_grad()


def test_the_schedule_is_that_of_the_public_code_in_proportion() -> None:
    acts = Densification(learner(), Pictures().cameras, 600_000, 0)
    assert (acts.first, acts.steps_between, acts.steps_between_resets) == (10_000, 2_000, 60_000)
    short = Densification(learner(), Pictures().cameras, 600, 0)
    assert (short.first, short.steps_between, short.steps_between_resets) == (10, 20, 200)


def test_steps_that_densify_and_steps_that_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    trained, seen = learner(), []
    acts = Densification(trained, Pictures().cameras, 600, 0)
    monkeypatch.setattr(acts, "densify", lambda step, _: seen.append(step))
    monkeypatch.setattr("sage_ns.training.densification.reset_opacities", lambda *_: seen.append("reset"), raising=True)
    acts.first = 30
    for step in range(600):
        acts.after_step(step, {})
    densified = [step for step in seen if step != "reset"]
    assert densified == list(range(39, 599, 20))
    assert seen.count("reset") == 3, "at the begin (30), 200 and 400"


def test_extent_of_the_cameras() -> None:
    assert scene_extent([camera(-1.0), camera(1.0)]) == pytest.approx(1.1)
    assert scene_extent([camera(0.3)]) == 1.0


def test_large_gaussians_are_split_and_transparent_ones_removed() -> None:
    trained = learner(split_above=0.0, gradient=0.0)
    assert trained.screen_gradients is not None
    trained.screen_gradients.total.fill_(1.0)
    with torch.no_grad():
        trained.surfels.opacity_logits[:4] = -9.0
        trained.surfels.triangle[1] = 0
    Densification(trained, Pictures().cameras, 600, 0).densify(0, optimizers(trained))
    # Of the four transparent parents' children, all of triangles 0, 2 and 3 are the last ones there.
    assert trained.surfels.num_surfels == 2 * NUM
    assert not trained.screen_gradients.total.any()
    torch.testing.assert_close(trained.surfels.log_scales.exp(), torch.full((2 * NUM, 3), 1 / 1.6))
    with torch.no_grad():
        trained.surfels.opacity_logits[7] = -9.0
    trained.screen_gradients.total.fill_(-1.0)
    Densification(trained, Pictures().cameras, 600, 0).densify(0, optimizers(trained))
    assert trained.surfels.num_surfels == 2 * NUM - 1


def test_very_large_gaussians_go_after_the_first_reset_only() -> None:
    for step, left in ((0, NUM + 1), (300, NUM)):
        trained = learner(gradient=9.0)
        with torch.no_grad():
            trained.surfels.log_scales[5] = 6.0
            trained.surfels.triangle[5] = 6
        acts = Densification(trained, Pictures().cameras, 600, 0)
        acts.extent = 10.0
        assert trained.screen_gradients is not None
        trained.screen_gradients.total[0] = 10.0
        acts.densify(step, optimizers(trained))
        assert trained.surfels.num_surfels == left


def test_an_avatar_of_gaussians_is_saved_and_loaded_and_starts_another(tmp_path: Path) -> None:
    from sage_ns.avatar.avatar import Avatar

    trained = learner()
    train(trained, 60, until=30)
    path = tmp_path / "avatar.npz"
    save_avatar(trained.avatar, path)
    loaded = Avatar.load(path)

    def drawn(avatar: Any) -> Tensor:
        return avatar.render(avatar.neutral(), avatar.front_camera(40, 50))

    assert torch.equal(drawn(loaded), drawn(trained.avatar))
    config = gaussian_avatars_config()
    config.start_from = path
    again = start_learner(config, tiny_record(HEAD, 0), lambda: [], seed=0)
    assert torch.equal(again.surfels.log_scales, trained.surfels.log_scales)
    config.primitives = "surfels"
    with pytest.raises(AvatarFileError, match=r"found 3D Gaussians, expected surfels.*primitives gaussians"):
        start_learner(config, tiny_record(HEAD, 0), lambda: [], seed=0)
    tiny_avatar(HEAD, 50).save(path)
    config.primitives = "gaussians"
    with pytest.raises(AvatarFileError, match=r"found surfels, expected 3D Gaussians.*primitives surfels"):
        start_learner(config, tiny_record(HEAD, 0), lambda: [], seed=0)


def test_a_state_with_another_number_of_gaussians_can_be_loaded() -> None:
    trained = learner(gradient=1e-5)
    train(trained, 90, until=50)
    assert trained.surfels.num_surfels > NUM
    fresh = learner()
    fresh.load_state_dict(trained.state_dict())
    assert fresh.surfels.num_surfels == trained.surfels.num_surfels
    assert fresh.screen_gradients is not None and trained.screen_gradients is not None
    assert torch.equal(fresh.screen_gradients.total, trained.screen_gradients.total)
    assert bool(fresh.screen_gradients.total.any())
