"""A surface that always shows a tracking error, for tests of what follows from it."""

from __future__ import annotations

import torch
from torch import Tensor

from sage_ns.training.tracking_refinement import Refinement

REFINED_MOTION = "sage_ns.training.learner.refined_motion"
"""Name to patch: fields that tests train for a few steps move the rig by next to nothing."""


def found_wrong(field: object, head_model: object, motion: Tensor, expected: float) -> Refinement:
    """Stand in for `refined_motion`; moves head and neck a little."""
    better = motion.clone()
    better[:9] += 2e-3 * torch.linspace(-1, 1, 9)
    return Refinement(better, 1.0, 2e-3)
