"""The uv model: SEGA's still and moving maps, painted by convolutions; learned from pictures at many moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from jaxtyping import Float

from sage_ns.priors.models.registry import ModelSettings, PeopleModel, register_model

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sage_ns.capture.checked import CaptureOptions
    from sage_ns.priors.uv import UvPrior
    from sage_ns.priors.uv_learning import UvLearning
    from sage_ns.system.array_fields import ArrayFields

_STEPS = {"toy": (400, 200, 2), "full": (20_000, 20_000, 8)}
"""Of the static and the dynamic stage, and people in each step."""


@dataclass(frozen=True)
class UvSettings(ModelSettings):
    """How the uv model is learned."""

    model: ClassVar[str] = "uv"
    size: Literal["toy", "full"] = "toy"
    """toy: maps of 32 x 32 texels, minutes on a CPU; full: 128 x 128, for CUDA"""
    static_steps: int | None = None
    """steps on the canonical moments; default: 400 (toy) or 20,000 (full)"""
    dynamic_steps: int | None = None
    """steps on all moments; default: 200 (toy) or 20,000 (full)"""
    people_per_step: int | None = None
    """people in each step, with one picture each; default: 2 (toy) or 8 (full)"""
    moments: int = 8
    """training moments of each person besides the canonical one, at most; test moments are never among them"""
    seed: int = 0
    """random seed of the first weights and codes, and of the order of people and pictures"""
    perceptual_weights: Path | None = None
    """file of weights of a network in the layout of torchvision's VGG: adds a loss on its features; none by default"""
    perceptual: float = 0.1
    """weight of the loss on features"""

    def check(self) -> None:
        """Check all settings, and read the file of weights; see `ModelSettings.check`.

        Raises:
            SageError: the file of weights cannot be used.
        """
        for name, high in (("static_steps", 10_000_000), ("dynamic_steps", 10_000_000), ("people_per_step", 1024)):
            if getattr(self, name) is not None:
                self.expect(name, 1, high)
        self.expect("moments", 0, 1000)
        self.expect("perceptual", 0.0, 100.0)
        if self.perceptual_weights is not None:
            from sage_ns.image.feature_network import load_features

            load_features(self.perceptual_weights)

    def learning(self) -> UvLearning:
        """Return the settings with all defaults filled in."""
        from sage_ns.priors.uv_decoder import SIZES
        from sage_ns.priors.uv_learning import UvLearning

        given = (self.static_steps, self.dynamic_steps, self.people_per_step)
        static, dynamic, people = (
            default if own is None else own for own, default in zip(given, _STEPS[self.size], strict=True)
        )
        return UvLearning(SIZES[self.size], static, dynamic, people, moments=self.moments, seed=self.seed)


@register_model
class UvModel(PeopleModel):
    """See `sage_ns.priors.uv`."""

    name = UvSettings.model
    summary = "still and moving maps, painted by convolutions (SEGA's shape), from pictures at many moments; for CUDA"
    learns_motion = True

    def learn(
        self,
        people: Float[Tensor, "num_people num_places 9"],
        settings: UvSettings,
        work: Path,
        device: torch.device | str,
    ) -> UvPrior:
        """Refuse: fits of one moment do not show how faces move.

        Raises:
            ValueError: always; see `learn_from`.
        """
        raise ValueError("the uv model learns from captures, see UvModel.learn_from")

    def learn_from(
        self,
        people: Float[Tensor, "num_people num_places 9"],
        captures: Sequence[CaptureOptions],
        settings: UvSettings,
        work: Path,
        device: torch.device | str,
    ) -> UvPrior:
        """Return the prior; see `sage_ns.priors.uv_learning.learn_uv`."""
        from sage_ns.image.feature_network import load_features
        from sage_ns.priors.uv_learning import learn_uv

        further = None
        if settings.perceptual_weights is not None:
            further = load_features(settings.perceptual_weights).to(device).weighted(settings.perceptual)
        return learn_uv(people, captures, settings.learning(), work, device, further)

    def read(self, read: ArrayFields, mean: Float[Tensor, "num_places 9"], num_people: int) -> UvPrior:
        """Return the prior of a file; see `PeopleModel.read`."""
        from sage_ns.priors.uv import read_uv

        return read_uv(read, mean, num_people)
