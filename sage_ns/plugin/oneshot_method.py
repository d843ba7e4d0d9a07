"""The regime of one picture: the settings in which it differs from `sage-multiview`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sage_ns.plugin.model_config import SageModelConfig
from sage_ns.priors.sources import PEOPLE
from sage_ns.training.losses import LossWeights

STEPS_SHARE = 0.15
"""Of the preset's steps: training starts from a whole person, and one picture is soon fitted."""

ONESHOT_PIPELINE: Mapping[str, Any] = {"pseudo_views": "start", "pseudo_share": 0.5}
"""Settings of the pipeline."""


def oneshot_model() -> SageModelConfig:
    """Return the settings of avatar, field and losses.

    Training starts from a completed person. One picture does not tell light from colour, nor what shines, nor how the
    tracking is off in depth: none of these is learned. If the person smiles in it, no other picture tells teeth from
    lips.
    """
    return SageModelConfig(
        complete_from=PEOPLE,
        mouth_from_pictures=True,
        sh_degree=0,
        refine_tracking="never",
        losses=LossWeights(tracked_normal=0.4, position_hinge=0.03),
    )
