"""The decoder: features of each place and a code of each part of a person, joined by a small network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from jaxtyping import Float

from sage_ns.priors.models.registry import ModelSettings, PeopleModel, register_model

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sage_ns.priors.decoder import DecoderPrior
    from sage_ns.system.array_fields import ArrayFields


@dataclass(frozen=True)
class DecoderSettings(ModelSettings):
    """How the decoder is learned."""

    model: ClassVar[str] = "decoder"
    code_length: int = 16
    """entries of the code of each part of the head"""
    num_features: int = 8
    """features of each place"""
    hidden: int = 64
    """width of the network's two hidden layers"""
    steps: int = 2000
    """optimiser steps, each on some people at some places"""
    seed: int = 0
    """random seed of the first features and weights, and of the people and places of each step"""

    def check(self) -> None:
        """Check all settings; see `ModelSettings.check`."""
        self.expect("code_length", 1, 512)
        self.expect("num_features", 1, 256)
        self.expect("hidden", 1, 1024)
        self.expect("steps", 1, 1_000_000)


@register_model
class DecoderModel(PeopleModel):
    """See `sage_ns.priors.decoder`."""

    name = DecoderSettings.model
    summary = "a small network of features of each place and codes of each part of the head; minutes"

    def learn(
        self,
        people: Float[Tensor, "num_people num_places 9"],
        settings: DecoderSettings,
        work: Path,
        device: torch.device | str,
    ) -> DecoderPrior:
        """Return the decoder; its state is kept in ``work`` while it learns."""
        from sage_ns.priors.decoder_learning import learn_decoder
        from sage_ns.priors.sitter import reference_atlas

        return learn_decoder(people, reference_atlas(people.shape[1]), settings, work / "decoder.pt", device)

    def read(self, read: ArrayFields, mean: Float[Tensor, "num_places 9"], num_people: int) -> DecoderPrior:
        """Return the prior of a file; see `PeopleModel.read`."""
        from sage_ns.priors.decoder import read_decoder

        return read_decoder(read, mean, num_people)
