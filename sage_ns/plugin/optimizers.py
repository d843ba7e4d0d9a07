"""Optimisers and learning rates, one for each kind of parameter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from nerfstudio.engine.optimizers import OptimizerConfig
from nerfstudio.engine.schedulers import ExponentialDecayScheduler, ExponentialDecaySchedulerConfig
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from sage_ns.training.row_adam import RowAdam


@dataclass
class FusedAdamConfig(OptimizerConfig):
    """Adam in one kernel per parameter; on the CPU it is many times faster than torch's default."""

    _target: type = torch.optim.Adam
    eps: float = 1e-15
    """added to the denominator; 3DGS has the same value"""
    fused: bool = True
    """use torch's fused implementation"""


@dataclass
class RowAdamConfig(OptimizerConfig):
    """Adam for parameters with a row for each training picture, of which a step sees one."""

    _target: type = RowAdam
    eps: float = 1e-15
    """added to the denominator"""


@dataclass
class DecayConfig(ExponentialDecaySchedulerConfig):
    """nerfstudio's exponential decay; without max_steps it spans the whole training."""

    _target: type = field(default_factory=lambda: Decay)
    max_steps: int | None = None  # type: ignore[assignment]
    """steps until lr_final; None = all steps of the training"""
    in_phase_1: bool = False
    """without max-steps: reach lr-final at the end of phase 1, and keep it"""


class Decay(ExponentialDecayScheduler):
    """nerfstudio's decay with learning rates as Python floats: torch refuses checkpoints with numpy's as unsafe."""

    def get_scheduler(self, optimizer: torch.optim.Optimizer, lr_init: float) -> LRScheduler:
        """Return nerfstudio's scheduler with learning rates as Python floats."""
        decay = super().get_scheduler(optimizer, lr_init).lr_lambdas[0]  # type: ignore[attr-defined]
        return LambdaLR(optimizer, lr_lambda=lambda step: float(decay(step)))


def _adam(first: float, last: float, in_phase_1: bool = False) -> dict[str, Any]:
    scheduler = DecayConfig(lr_final=last, in_phase_1=in_phase_1)
    return {"optimizer": FusedAdamConfig(lr=first), "scheduler": scheduler}


_POSITIONS = (5e-3, 5e-5)
_CONSTANT = {
    "quaternions": 1e-3,
    "log_scales": 1.7e-2,
    "opacity_logits": 5e-2,
    "sh_dc": 2.5e-3,
    "sh_rest": 2.5e-3 / 20,
}
"""GaussianAvatars' learning rates, those of 3DGS."""


def gaussian_avatars_optimizers() -> dict[str, Any]:
    """Return optimisers with GaussianAvatars' learning rates: only that of the positions decays.

    GaussianAvatars multiplies the rate of positions by the extent of the cameras, which is about 1 m around a head.
    """
    constant = {**_CONSTANT, "flame_translation": 1e-6, "flame_pose": 1e-5, "flame_expression": 1e-3}
    fixed = {name: {"optimizer": FusedAdamConfig(lr=rate), "scheduler": None} for name, rate in constant.items()}
    return {"means": _adam(*_POSITIONS), **fixed}


def optimizers() -> dict[str, Any]:
    """Return optimisers with GaussianAvatars' learning rates, except that positions and rotations start faster and
    decay further.

    There is no densification: surfels must travel to the hair, and have a tenth of the iterations for it. Opacity and
    colour decay, too: with constant rates they still flicker when training ends, and phase 2 unlearns the pictures.
    """
    return {
        "means": _adam(4e-2, 1e-4),
        "quaternions": _adam(1e-2, 1e-3),
        "log_scales": _adam(1.7e-2, 1.7e-3),
        "opacity_logits": _adam(5e-2, 5e-3),
        "sh_dc": _adam(2.5e-3, 5e-4),
        "sh_rest": _adam(2.5e-3 / 20, 5e-4 / 20),
        "field_grid": _adam(3e-3, 3e-4),
        "field_network": _adam(1e-3, 1e-4),
        "appearance": _adam(1e-3, 3e-4),
        "room_light": _adam(5e-3, 5e-4),
        "exposure": {"optimizer": RowAdamConfig(lr=1e-2), "scheduler": DecayConfig(lr_final=1e-3)},
        "shape": _adam(3e-4, 1e-4),
        "detail_dc": _adam(2.5e-3, 5e-4),
        "detail_rest": _adam(2.5e-3 / 20, 5e-4 / 20),
        "detail_opacity": _adam(5e-2, 5e-3),
        "detail_shape": _adam(1e-2, 1e-3),
    }


def paper_optimizers() -> dict[str, Any]:
    """Return optimisers with GaussianAvatars' own learning rates for the surfels' attributes, those of 3DGS.

    Positions decay over phase 1, the others are constant, and phase 2 keeps all of them. Of field and networks, for
    which GaussianAvatars has no rates, they are those of `optimizers`, but constant in phase 2, too.
    """
    rates = {"means": _POSITIONS, **{name: (rate, rate) for name, rate in _CONSTANT.items()}}
    ours = {name: (group["optimizer"].lr, group["scheduler"].lr_final) for name, group in optimizers().items()}
    return {name: _adam(*pair, in_phase_1=True) for name, pair in (ours | rates).items()}
