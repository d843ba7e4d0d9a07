"""Fine-tuning of the recorded motion together with the surfels, as GaussianAvatars does by default."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sage_ns.avatar.surfels import take_sizes
from sage_ns.rig import NUM_POSE, FlameParams

TUNED_PARTS = {
    "flame_translation": FlameParams.TRANSLATION,
    "flame_pose": slice(FlameParams.TRANSLATION.stop, NUM_POSE),
    "flame_expression": FlameParams.EXPRESSION,
}
"""Parts of a motion vector by name of parameter and optimiser, in order: each has a learning rate of its own."""


class MotionTuning(nn.Module):
    """Motion vectors of all recorded moments as parameters; moments without training pictures get no gradients.

    Args:
        motion: tracked motion vectors.
    """

    def __init__(self, motion: Float[Tensor, "num_timesteps num_coefficients"]) -> None:
        super().__init__()
        for name, part in TUNED_PARTS.items():
            self.register_parameter(name, nn.Parameter(motion[:, part].clone()))

    def at(self, row: int) -> Float[Tensor, "num_coefficients"]:
        """Return the motion vector of a recorded moment; gradients reach the parameters."""
        return torch.cat([getattr(self, name)[row] for name in TUNED_PARTS])

    def get_param_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return one optimiser group for each part."""
        return {name: [getattr(self, name)] for name in TUNED_PARTS}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        take_sizes(self, TUNED_PARTS, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)
