"""Learn the decoder from people who were fitted at the places of one atlas: network, features and codes together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sage_ns.avatar.atlas import Atlas
from sage_ns.avatar.perceptron import Perceptron
from sage_ns.priors.attributes import COLOUR, IMPORTANCE, NUM_ATTRIBUTES
from sage_ns.priors.decoder import DecoderPrior, decoded
from sage_ns.priors.learning_state import keep_state, resume_state
from sage_ns.priors.linear_learning import learn_tones, principal
from sage_ns.priors.models.decoder import DecoderSettings
from sage_ns.priors.parts import GROUPS, groups_of
from sage_ns.system.devices import sent
from sage_ns.system.parallel import cores_for_kernels
from sage_ns.system.progress import tracked

_NUM_LAYERS = 2
_PEOPLE, _PLACES = 8, 2048
"""People of a step, and places at which each of them is compared."""
_RATES = {"network": 2e-3, "features": 1e-2, "codes": 1e-2}
_FINAL_RATE = 0.05
"""Learning rates at the last step, relative to the first."""
_CODE_WEIGHT = 1e-3
"""Weight of the mean square of the codes."""
_NOISE = 0.1
"""Deviation of what is added to the codes in each step: near codes make near people."""
_KEEP_EVERY = 200
"""Steps between two states that are kept."""


def learn_decoder(
    people: Float[Tensor, "num_people num_places 9"],
    atlas: Atlas,
    settings: DecoderSettings,
    state: Path | None = None,
    device: torch.device | str = "cpu",
) -> DecoderPrior:
    """Return the decoder of a set of people, on the CPU.

    Tones are those of the linear prior. Of the rest R of each person, Adam minimises ``w^2 (s (D(f_k, z) - D(f_k, 0))
    - R_k)^2`` over network, features and codes, with the importance w of each attribute. Codes start as the principal
    components of the people, features as those of the places.

    Args:
        people: attributes of each person, see `sage_ns.priors.attributes`; at least two people; on the CPU.
        atlas: the places.
        settings: sizes, steps and seed.
        state: file of the state of learning: a stopped run goes on and gives the same decoder; None = keep none.
        device: where to learn.

    Raises:
        ValueError: there are fewer than two people.
        WriteError: the state cannot be written.
    """
    if len(people) < 2:
        raise ValueError(f"learn_decoder: found {len(people)} person, expected at least 2")
    mean = people.mean(dim=0)
    tones, tone = learn_tones(people, atlas)
    rest = people - mean
    rest[..., COLOUR] -= torch.einsum("pt,tkc->pkc", tones, tone)
    scale = rest.square().mean(dim=(0, 1)).sqrt().clamp_min(1e-6)
    training = _Training(rest / scale, scale, groups_of(atlas), settings, torch.device(device))
    key = _key(people, settings)
    start = 0 if state is None else resume_state(state, key, training.values, training.optimizer)
    with (
        cores_for_kernels() if training.device.type == "cpu" else nullcontext(),
        tracked(range(start, settings.steps), "Learning the decoder") as shown,
    ):
        for step in shown:
            training.step(step)
            done = step + 1
            if state is not None and (done % _KEEP_EVERY == 0 or done == settings.steps):
                keep_state(state, key, done, training.values, training.optimizer)
    codes = training.codes.detach().cpu()
    deviation = codes.square().mean(dim=0).sqrt().clamp_min(1e-6)
    network = training.network.cpu().requires_grad_(False)
    return DecoderPrior(mean, tone, training.features.detach().cpu(), network, deviation, scale, len(people))


class _Training:
    """What Adam changes, and one step of it.

    Args:
        rest: what the network shall say of each person, in units of its outputs.
        scale: attributes per unit of each output.
        group: of each place.
        settings: sizes and seed.
        device: where to learn.
    """

    def __init__(
        self,
        rest: Float[Tensor, "num_people num_places 9"],
        scale: Float[Tensor, "9"],
        group: Int[Tensor, "num_places"],
        settings: DecoderSettings,
        device: torch.device,
    ) -> None:
        self.settings, self.device = settings, device
        weight = (rest.new_tensor(IMPORTANCE) * scale).square()
        self.weight = (weight / weight.mean()).to(device)
        codes, features = _starts(rest * self.weight.cpu().sqrt(), group, settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            num_inputs = settings.num_features + settings.code_length
            network = Perceptron(num_inputs, [NUM_ATTRIBUTES], settings.hidden, _NUM_LAYERS)
        self.network = network.to(device)
        self.codes, self.features = nn.Parameter(codes.to(device)), nn.Parameter(features.to(device))
        self.rest, self.group = rest.to(device), group.to(device)
        rates = ((self.network.parameters(), "network"), ([self.features], "features"), ([self.codes], "codes"))
        self.rates = [_RATES[name] for _, name in rates]
        self.optimizer = torch.optim.Adam([{"params": list(params), "lr": _RATES[name]} for params, name in rates])

    def step(self, number: int) -> None:
        """Change everything a little; what is drawn depends on the seed and the number of the step alone."""
        generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + number)
        drawn = torch.randperm(len(self.rest), generator=generator)[:_PEOPLE]
        noise = _NOISE * torch.randn(len(drawn), *self.codes.shape[1:], generator=generator)
        who = sent(drawn, self.device)
        where = sent(torch.randint(len(self.group), (_PLACES,), generator=generator), self.device)
        features = self.features[where]
        codes = (self.codes[who] + sent(noise, self.device))[:, self.group[where]]
        of_zero = decoded(self.network, features, torch.zeros_like(codes[0]))
        found = decoded(self.network, features.expand(len(drawn), -1, -1), codes) - of_zero
        loss = (self.weight * (found - self.rest[who[:, None], where]).square()).mean()
        loss = loss + _CODE_WEIGHT * self.codes.square().mean()
        factor = _FINAL_RATE ** (number / self.settings.steps)
        for rate, group in zip(self.rates, self.optimizer.param_groups, strict=True):
            group["lr"] = rate * factor
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    @property
    def values(self) -> Sequence[Tensor]:
        """All that Adam changes."""
        return [*self.network.parameters(), self.features, self.codes]


def _starts(
    rest: Float[Tensor, "num_people num_places 9"], group: Int[Tensor, "num_places"], settings: DecoderSettings
) -> tuple[Float[Tensor, "num_people num_groups length"], Float[Tensor, "num_places num_features"]]:
    """Return principal components of the people, for each group, and of the places; those that lack are noise."""
    generator = torch.Generator().manual_seed(settings.seed)
    codes = 0.1 * torch.randn(len(rest), len(GROUPS), settings.code_length, generator=generator)
    features = 0.1 * torch.randn(rest.shape[1], settings.num_features, generator=generator)
    for number in range(len(GROUPS)):
        _, vectors = principal(rest[:, group == number].flatten(1), min(settings.code_length, len(rest) - 1))
        codes[:, number, : vectors.shape[1]] = vectors * len(rest) ** 0.5
    by_place = rest.transpose(0, 1).flatten(1)  # places are many, and what is known of each is little
    _, vectors = torch.linalg.eigh((by_place.T @ by_place).double())
    found = by_place @ vectors.flip(1)[:, : settings.num_features].to(by_place)
    features[:, : found.shape[1]] = found / found.square().mean(dim=0).sqrt().clamp_min(1e-12)
    return codes, features


def _key(people: Tensor, settings: DecoderSettings) -> str:
    """Return a text that identifies all that the decoder depends on."""
    digest = hashlib.sha256(repr((settings, tuple(people.shape))).encode())
    digest.update(people.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
