"""The regime of one camera and a turning head: the settings in which it differs from `sage-multiview`."""

from __future__ import annotations

from sage_ns.plugin.model_config import SageModelConfig
from sage_ns.training.losses import LossWeights


def monocular_model() -> SageModelConfig:
    """Return the settings of avatar, field and losses.

    Lamps stand still while the head turns, so the light of the room is learned. One camera sees each side of the head
    from few directions: geometry along its line of sight is held closer to the tracked head than with many cameras, and
    what no frame shows is filled in.
    """
    return SageModelConfig(
        room_light=True,
        exposure=True,
        fill_unseen=True,
        hair_reach=0.03,
        losses=LossWeights(tracked_normal=0.4, position_hinge=0.03),
    )
