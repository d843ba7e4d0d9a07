"""What can be set about the model: everything about the learner, and what nerfstudio adds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nerfstudio.models.base_model import ModelConfig

from sage_ns.training.config import LearnerConfig


def _model() -> type:
    from sage_ns.plugin.model import SageModel

    return SageModel


@dataclass
class SageModelConfig(LearnerConfig, ModelConfig):
    """The learner's settings as nerfstudio's model config."""

    _target: type = field(default_factory=_model)
    enable_collider: bool = False
    """cameras are rendered whole; there are no rays to clip"""
    lpips_weights: Path | None = None
    """torchvision's AlexNet weights for the LPIPS metric; None = torch.hub's cache, if they are there"""
