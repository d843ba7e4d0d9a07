"""Splitting between the phases and control surfels in phase 2, in a training that stops and goes on."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import Adam, Optimizer

from sage_ns.errors import SageError
from sage_ns.motion.bank import DrivingBank
from sage_ns.training.config import LearnerConfig, SelfSuperviseConfig
from sage_ns.training.learner import Learner
from sage_ns.training.phases import Ingredients, build_schedule
from sage_ns.training.picture_fit import PictureFit
from sage_ns.training.schedule import Schedule
from sage_ns.training.start import start_learner
from tests.tiny import tiny_head_model
from tests.tiny_capture import tiny_motion, tiny_record
from tests.training.test_densification import Pictures
from tests.training.test_self_supervise import build

HEAD = tiny_head_model()
NUM, BORDER, STOP, TOTAL = 400, 3, 6, 9


class Training:
    """Surfels without a field, on pictures of a red disc, with a bank that opens the jaw."""

    def __init__(self, folder: Path) -> None:
        config = LearnerConfig(num_surfels=NUM, networks=False, with_sdf=False, supersampling=1, rebind_every=0)
        config.correction_source = "controlled"
        self.learner: Learner = start_learner(config, tiny_record(HEAD, 0), lambda: [], seed=0)
        opening = tiny_motion(HEAD, 4)
        opening.expr.zero_()
        opening.save_vhap(folder / "bank.npz")
        bank = DrivingBank.from_sources([folder / "bank.npz"], self.learner.motion.canonical(), HEAD)
        pictures: Any = Pictures()
        fit = PictureFit(self.learner, pictures, 0)
        settings = SelfSuperviseConfig(split_deforming=True)
        given = Ingredients(self.learner, pictures, fit, bank, settings, 0)
        self.schedule: Schedule = build_schedule({"reconstruct": BORDER, "self_supervise": TOTAL - BORDER}, given)
        self.optimizers: dict[str, Optimizer] = {
            name: Adam(group, lr=1e-3) for name, group in self.learner.param_groups().items()
        }

    def run(self, first: int, last: int) -> None:
        for step in range(first, last):
            weighed = self.learner.weigh(self.schedule.step(step).terms)
            sum(weighed.values(), torch.zeros(())).backward()
            for each in self.optimizers.values():
                each.step()
                each.zero_grad()
            self.schedule.after_step(step, self.optimizers)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return deepcopy(
            (self.learner.state_dict(), {name: each.state_dict() for name, each in self.optimizers.items()})
        )

    def load(self, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
        self.learner.load_state_dict(state[0])
        for name, each in self.optimizers.items():
            each.load_state_dict(state[1][name])


def test_a_training_splits_once_and_goes_on_as_if_it_had_never_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = Training(tmp_path)
    avatar = training.learner.avatar
    training.run(0, BORDER - 1)
    before = avatar.surfels.triangle.clone()
    assert "Split" not in capsys.readouterr().out
    training.run(BORDER - 1, BORDER)
    assert f"of {NUM} surfels where the driving bank" in " ".join(capsys.readouterr().out.split())
    assert avatar.surfels.num_surfels == NUM and len(avatar.displacement) == 0
    moments = training.optimizers["means"].state[avatar.surfels.means]["exp_avg_sq"]
    fresh = (moments == 0).all(dim=-1) & (avatar.surfels.means.detach() != 0).any(dim=-1)
    assert int(fresh.sum()) >= 2 and int((avatar.surfels.triangle != before).sum()) <= 20
    training.run(BORDER, STOP)
    assert len(avatar.displacement) == NUM and float(avatar.displacement.max()) > 0.009
    control = avatar.correction._control
    assert control is not None and bool(control.controls.any())
    saved = training.state()
    training.run(STOP, TOTAL)

    resumed = Training(tmp_path)
    resumed.load(saved)
    resumed.run(STOP, TOTAL)
    assert "Split" not in capsys.readouterr().out
    expected = training.learner.state_dict()
    for name, value in resumed.learner.state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize(
    "changed",
    [
        {"pipeline.steps.self_supervise": 0},
        {"pipeline.steps.reconstruct": 0},
        {"pipeline.model.networks": True, "pipeline.model.networks_alone": True},
        {"pipeline.model.primitives": "gaussians"},
    ],
)
def test_where_there_is_nothing_to_split(changed: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SageError, match=r"--pipeline\.split-deforming splits surfels"):
        build(tmp_path, tmp_path / "out", **{"pipeline.split_deforming": True, **changed})
