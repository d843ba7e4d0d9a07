"""Settings of the model: those of the learner, and those of nerfstudio."""

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
    """not used: cameras are rendered whole, and there are no rays to clip"""
    lpips_weights: Path | None = None
    """file of torchvision's AlexNet weights for the LPIPS metric; None = those in torch.hub's cache; no
    LPIPS without weights"""
