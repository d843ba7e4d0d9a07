"""The decoder: a small network makes a person from features of each place and the person's code (the auto-decoder of
GASP, Saunders et al. 2024, on the atlas)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.avatar.perceptron import Perceptron
from sage_ns.priors.attributes import COLOUR, NUM_ATTRIBUTES
from sage_ns.priors.coded import LARGEST, CodedPrior
from sage_ns.priors.models.decoder import DecoderSettings
from sage_ns.priors.parts import GROUPS, groups_of
from sage_ns.priors.sitter import reference_atlas
from sage_ns.system.array_fields import ArrayFields


@dataclass(frozen=True, eq=False)
class DecoderPrior(CodedPrior):
    """What people look like at the places of the atlas, as a small network's function of an identity code.

    ``x_k = mean_k + sum_t tone_tk a_t + s (D(f_k, d_g z_g) - D(f_k, 0))`` for place k of group g, with tones a
    that all groups share, codes z of each group, and features f of each place. The code zero is the mean person.
    """

    model: ClassVar[str] = DecoderSettings.model
    mean: Float[Tensor, "num_places 9"]
    """See `sage_ns.priors.attributes`."""
    tone: Float[Tensor, "num_tones num_places 3"]
    """Colour per unit of each tone."""
    features: Float[Tensor, "num_places num_features"]
    network: Perceptron
    """D: features and code of the place's group to nine outputs."""
    deviation: Float[Tensor, "num_groups code_length"]
    """d: of the codes that the network takes, over the people; those of this prior have deviation 1."""
    scale: Float[Tensor, "9"]
    """s: attributes per unit of the outputs."""
    num_people: int
    """Number of people that it was learned from."""

    @property
    def code_length(self) -> int:
        """Number of entries of the code of each group."""
        return self.deviation.shape[1]

    @property
    def num_codes(self) -> int:
        """Number of entries of an identity code: tones, then the codes of the groups."""
        return len(self.tone) + len(GROUPS) * self.code_length

    def to(self, device: torch.device | str) -> DecoderPrior:
        """Return the same prior on another device; `fit` runs there."""
        moved = {name: getattr(self, name).to(device) for name in ("mean", "tone", "features", "deviation", "scale")}
        return replace(self, **moved, network=copy.deepcopy(self.network).to(device))

    def attributes(self, code: Float[Tensor, "num_codes"]) -> Float[Tensor, "num_places 9"]:
        """Return the attributes of the person with this identity code; differentiable."""
        tones = code[: len(self.tone)]
        by_group = code[len(self.tone) :].reshape(len(GROUPS), self.code_length) * self.deviation
        changes = self.scale * (decoded(self.network, self.features, by_group[self._group]) - self._of_zero)
        color = torch.einsum("t,tkc->kc", tones, self.tone)
        return self.mean + changes + torch.nn.functional.pad(color, (COLOUR.start, 0))

    @cached_property
    def _group(self) -> Int[Tensor, "num_places"]:
        return groups_of(reference_atlas(self.num_places)).to(self.mean.device)

    @cached_property
    def _of_zero(self) -> Float[Tensor, "num_places 9"]:
        """D(f_k, 0)."""
        with torch.no_grad():
            return decoded(self.network, self.features, self.features.new_zeros(self.num_places, self.code_length))

    def describe(self) -> str:
        """Return what it consists of; see `CodedPrior.describe`."""
        hidden = self.network.layers[0].weight.shape[0]
        return (
            f"codes of length {self.code_length} for each part of the head, {self.features.shape[1]} features for each "
            f"place, {len(self.network.layers)} hidden layers of width {hidden}"
        )

    def advice(self, share: float) -> str:
        """Return how to learn a smaller prior; see `CodedPrior.advice`."""
        return f"Learn it with --decoder.num-features {max(1, int(self.features.shape[1] * share) - 1)}"

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return the arrays of its file, in half precision apart from deviation and scale."""
        arrays = {"tone": self.tone, "features": self.features}
        arrays |= {name: each.detach() for name, each in _parameters(self.network).items()}
        halves = {name: each.cpu().numpy().astype(np.float16) for name, each in arrays.items()}
        return halves | {"deviation": self.deviation.cpu().numpy(), "scale": self.scale.cpu().numpy()}


def decoded(
    network: Perceptron, features: Float[Tensor, "*places num_features"], codes: Float[Tensor, "*places length"]
) -> Float[Tensor, "*places 9"]:
    """Return the outputs of the network for places with these features, of people with these codes."""
    inputs = torch.cat([features, codes], dim=-1)
    (outputs,) = network(inputs.flatten(0, -2))
    return outputs.reshape(*inputs.shape[:-1], NUM_ATTRIBUTES)


def read_decoder(read: ArrayFields, mean: Float[Tensor, "num_places 9"], num_people: int) -> DecoderPrior:
    """Return the decoder of a file; see `sage_ns.priors.models.PeopleModel.read`.

    Raises:
        PriorError: tones, features, scale or the network are missing or broken; names the file and the field.
    """
    tone = read.floats("tone", "num_tones num_places 3")
    read.check_magnitude("tone", tone, LARGEST)
    features = read.floats("features", "num_places num_features")
    scale = read.floats("scale", "9")
    deviation = read.floats("deviation", f"{len(GROUPS)} code_length")
    for name, values in (("features", features), ("scale", scale), ("deviation", deviation)):
        read.check_magnitude(name, values, LARGEST)
    count = sum(name.startswith("weight_") for name in read.fields)
    if count < 2:
        raise read.fail("weight_0", f"weights of {count} layers", "those of a hidden layer and of the output")
    layers = []
    for number in range(count):
        width = f"{NUM_ATTRIBUTES}" if number == count - 1 else "hidden"
        weight = read.floats(f"weight_{number}", f"{width} {'hidden' if number else 'num_inputs'}")
        bias = read.floats(f"bias_{number}", width)
        for name, values in (("weight", weight), ("bias", bias)):
            read.check_magnitude(f"{name}_{number}", values, LARGEST)
        layers.append((weight, bias))
    num_inputs, hidden = layers[0][0].shape[1], len(layers[0][0])
    if num_inputs != features.shape[1] + deviation.shape[1]:
        expected = f"{features.shape[1]} for the features and {deviation.shape[1]} for the code"
        raise read.fail("weight_0", f"{num_inputs} inputs", expected)
    network = Perceptron(num_inputs, [NUM_ATTRIBUTES], hidden, count - 1).requires_grad_(False)
    for (weight, bias), linear in zip(layers, (*network.layers, *network.heads), strict=True):
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
    return DecoderPrior(mean, tone, features, network, deviation, scale, num_people)


def _parameters(network: Perceptron) -> dict[str, Tensor]:
    """Return weights and biases of all layers, the output last, by the names that they have in a prior's file."""
    linear = (*network.layers, *network.heads)
    found = {f"weight_{number}": layer.weight for number, layer in enumerate(linear)}
    return found | {f"bias_{number}": layer.bias for number, layer in enumerate(linear)}
