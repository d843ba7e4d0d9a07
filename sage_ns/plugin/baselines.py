"""Public methods as configs: the yardsticks that a benchmark compares with."""

from __future__ import annotations

from sage_ns.avatar.growth.densification import DensificationSettings
from sage_ns.plugin.model_config import SageModelConfig
from sage_ns.training.losses import LossWeights


def gaussian_avatars_config() -> SageModelConfig:
    """Return the recipe of GaussianAvatars (Qian et al. 2024), with the numbers of its public code, on any rig.

    One 3D Gaussian per triangle at first, densified; 0.8 L1 + 0.2 (1 - SSIM), and hinges on positions (weight 0.01,
    beyond 1 triangle scale) and on scales (weight 1, beyond 0.6); degree 3 of the view-dependent colour, reached in
    three steps of 1,000 of 600,000 iterations; a fixed background. It has none of this package's additions: no
    silhouettes, no losses of a surface, no field, correction, mouth, wrinkles, rebinding or refined tracking.
    """
    off = {name: 0.0 for name in vars(LossWeights())}
    weights = {"l1": 0.8, "dissimilarity": 0.2, "position_hinge": 0.01, "scale_hinge": 1.0}
    return SageModelConfig(
        primitives="gaussians",
        densification=DensificationSettings(enabled=True),
        sh_degree=3,
        sh_degree_every=1 / 600,
        random_background=False,
        supersampling=1,
        hair_reach=0.0,
        scale_limit=0.6,
        hair_scale_limit=0.6,
        mouth=False,
        dark_interior=False,
        refine_tracking="never",
        correction=False,
        wrinkles=0.0,
        rebind_every=0,
        with_sdf=False,
        networks=False,
        losses=LossWeights(**(off | weights)),
    )
