"""The paper's algorithm as it is written: the settings in which it differs from `sage-multiview`.

docs/how_it_works.md lists each departure with both values. Sizes and numbers of steps come from the preset.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sage_ns.plugin.model_config import SageModelConfig
from sage_ns.training.losses import LossWeights


def paper_losses() -> LossWeights:
    """Return the weights of Eq. 12 and 21: no loss that the paper lacks, and those of its sources where known."""
    return LossWeights(
        squared=0.0,
        silhouette=0.0,
        tracked_normal=0.0,
        # 2DGS' weight for bounded scenes, in the units of the buffer, at a metre from the camera.
        depth_distortion=0.2,
        # Eq. 12 has no factor before L_C; MonoSDF's weights for the others.
        field_color=1.0,
        field_normal=0.05,
        smoothness=0.005,
    )


def paper_model() -> SageModelConfig:
    """Return the settings of avatar, field and losses."""
    return SageModelConfig(
        networks=True,
        networks_alone=True,
        correction_source="similarity",
        correction_gamma=1.0,
        wrinkle_rule="rendered",
        wrinkles=0.1,
        wrinkle_dimming=0.05,
        distortion="hit",
        field_teacher="hit",
        surfel_share=1.0,
        refine_tracking="never",
        hair_reach=0.0,
        hair_scale_limit=0.6,
        mouth_in_training=False,
        dark_interior=False,
        supersampling=1,
        random_background=False,
        sh_degree=3,
        losses=paper_losses(),
    )


PAPER_PHASE_2: Mapping[str, Any] = {
    "appearance_source": "field",
    "appearance_everywhere": 0.0,
    "freeze_appearance": True,
    "hold_hair": False,
    "anchor": 0.0,
}
"""Settings of phase 2 by their names in `sage_ns.training.config.SelfSuperviseConfig`."""
