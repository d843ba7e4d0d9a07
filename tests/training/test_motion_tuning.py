"""Fine-tuned motion: only trained moments change, and the avatar stores the canonical one."""

from __future__ import annotations

import torch

from sage_ns.capture.shot import Shot
from sage_ns.plugin.baselines import gaussian_avatars_config
from sage_ns.training.losses import l1
from sage_ns.training.start import start_learner
from tests.tiny import tiny_head_model
from tests.tiny_capture import tiny_record
from tests.training.test_densification import Pictures, camera, train

CANONICAL = 1


def test_tuned_moments_move_and_others_stay() -> None:
    config = gaussian_avatars_config()
    config.tune_motion = True
    learner = start_learner(config, tiny_record(tiny_head_model(), CANONICAL), lambda: [], seed=0)
    tracked = learner.motion.motion.clone()
    tuning = learner.tuning
    assert tuning is not None
    torch.testing.assert_close(tuning.at(2), tracked[2])
    optimizer = torch.optim.Adam(tuning.parameters(), 1e-3)
    for row in (CANONICAL, 2):
        shot = Shot(camera(), Pictures().picture, motion=tracked[row], row=row)
        buffers = learner.draw_fine(shot.camera, learner.motion_of(shot), corrected=False)
        l1(buffers.color, shot.picture).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    changed = [not torch.equal(tuning.at(row), tracked[row]) for row in range(len(tracked))]
    assert changed == [False, True, True, False]
    state = learner.state_dict()
    torch.testing.assert_close(learner.motion.canonical(), tuning.at(CANONICAL).detach())
    assert torch.equal(learner.motion.tracked, tracked[CANONICAL]) and torch.equal(learner.motion.motion[2], tracked[2])
    fresh = start_learner(config, tiny_record(tiny_head_model(), CANONICAL), lambda: [], seed=0)
    fresh.load_state_dict(state)
    assert fresh.tuning is not None and torch.equal(fresh.tuning.at(2), tuning.at(2))


def test_motion_is_as_tracked_unless_it_is_tuned() -> None:
    config = gaussian_avatars_config()
    learner = start_learner(config, tiny_record(tiny_head_model(), CANONICAL), lambda: [], seed=0)
    assert learner.tuning is None and not {"flame_pose"} & set(learner.param_groups())
    before = learner.motion.motion.clone()
    train(learner, 4)
    assert torch.equal(learner.motion.motion, before)
