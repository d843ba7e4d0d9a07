"""Effect of rebinding on the optimisers."""

from __future__ import annotations

import torch

from sage_ns.avatar.growth.rebinding import FRAME_PARAMETERS, rebind_surfels
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar

HEAD = tiny_head_model()


def test_moments_are_reset_for_surfels_that_change_their_triangle() -> None:
    surfels = tiny_avatar(HEAD, 200).surfels
    optimizers = {name: torch.optim.Adam([getattr(surfels, name)], lr=0.3) for name in surfels.PARAMETERS}
    sum((parameter - 1).square().sum() for parameter in surfels.parameters()).backward()  # type: ignore[union-attr]
    for optimizer in optimizers.values():
        optimizer.step()
    before = {
        name: {k: v.clone() for k, v in o.state[getattr(surfels, name)].items()} for name, o in optimizers.items()
    }
    moved = rebind_surfels(surfels, HEAD, HEAD.v_template, optimizers.values())
    assert moved.any() and not moved.all()
    for name, optimizer in optimizers.items():
        state, old = optimizer.state[getattr(surfels, name)], before[name]
        assert torch.equal(state["step"], old["step"])
        for key in ("exp_avg", "exp_avg_sq"):
            expected = old[key].clone()
            if name in FRAME_PARAMETERS:
                expected[moved] = 0.0
            assert torch.equal(state[key], expected)
