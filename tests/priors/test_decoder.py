"""The decoder: closed forms, learning, the file, and the person whom pictures show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sage_ns.avatar.perceptron import Perceptron
from sage_ns.errors import OptionError
from sage_ns.priors import decoder_learning
from sage_ns.priors.attributes import COLOUR, IMPORTANCE, NUM_ATTRIBUTES
from sage_ns.priors.code_fit import CodeFitSettings
from sage_ns.priors.coded import PriorError, load_prior
from sage_ns.priors.contract import Prior
from sage_ns.priors.decoder import DecoderPrior, decoded
from sage_ns.priors.decoder_learning import learn_decoder
from sage_ns.priors.models.decoder import DecoderSettings
from sage_ns.priors.parts import GROUPS, groups_of
from sage_ns.priors.sitter import reference_atlas
from sage_ns.system.array_fields import write_npz
from tests.priors.people import NUM_PLACES, mean_person, people, photographed, record, spoil

LENGTH, NUM_FEATURES, NUM_TONES = 3, 4, 2
SMALL = DecoderSettings(code_length=2, num_features=4, hidden=16, steps=60)


def drawn(seed: int = 0, dtype: torch.dtype = torch.float32) -> DecoderPrior:
    """A decoder with random numbers."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(dtype)

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Perceptron(NUM_FEATURES + LENGTH, [NUM_ATTRIBUTES], 8, 2).to(dtype).requires_grad_(False)
    return DecoderPrior(
        *(mean_person().to(dtype), 0.1 * normal(NUM_TONES, NUM_PLACES, 3), normal(NUM_PLACES, NUM_FEATURES), network),
        *(normal(len(GROUPS), LENGTH).abs(), 0.1 * normal(NUM_ATTRIBUTES).abs(), 12),
    )


def test_without_weights_everybody_is_the_mean_person_in_their_tones() -> None:
    prior = drawn()
    prior.network.heads[0].weight.zero_()
    code = torch.randn(prior.num_codes, generator=torch.Generator().manual_seed(1))
    expected = prior.mean.clone()
    expected[:, COLOUR] += torch.einsum("t,tkc->kc", code[:NUM_TONES], prior.tone)
    torch.testing.assert_close(prior.attributes(code), expected)


def test_the_code_zero_is_the_mean_person() -> None:
    prior = drawn()
    torch.testing.assert_close(prior.attributes(torch.zeros(prior.num_codes)), prior.mean)


def test_a_network_of_one_active_unit_has_a_closed_form() -> None:
    """One unit that is always on: the person changes by scale times weights times deviation times code."""
    prior = drawn()
    first, second, last = (*prior.network.layers, *prior.network.heads)
    for layer in (first, second, last):
        layer.weight.zero_()
        layer.bias.zero_()
    first.weight[0, NUM_FEATURES + 1], first.bias[0] = 1.0, 100.0
    second.weight[0, 0], last.weight[4, 0] = 2.0, 3.0
    code = torch.zeros(prior.num_codes)
    hair = list(GROUPS).index("hair")
    code[NUM_TONES + hair * LENGTH + 1] = 0.5
    expected = prior.mean.clone()
    of_hair = groups_of(reference_atlas(NUM_PLACES)) == hair
    expected[of_hair, 4] += prior.scale[4] * 6.0 * prior.deviation[hair, 1] * 0.5
    torch.testing.assert_close(prior.attributes(code), expected, atol=1e-4, rtol=1e-4)


def test_each_group_has_codes_of_its_own() -> None:
    prior, group = drawn(), groups_of(reference_atlas(NUM_PLACES))
    for number in range(len(GROUPS)):
        code = torch.zeros(prior.num_codes)
        code[NUM_TONES + number * LENGTH :][:LENGTH] = 1.0
        changed = (prior.attributes(code) - prior.mean).abs().amax(dim=-1) > 1e-6
        assert changed[group == number].float().mean() > 0.9 and not changed[group != number].any()


def test_the_gradient_reaches_the_code() -> None:
    prior = drawn(dtype=torch.float64)
    weight = torch.randn(NUM_PLACES, NUM_ATTRIBUTES, dtype=torch.float64)
    code = 0.3 * torch.randn(prior.num_codes, dtype=torch.float64)
    code.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda each: (prior.attributes(each) * weight).sum(), code)


def test_two_people_are_learned() -> None:
    both = people(2, seed=3)
    settings = replace(SMALL, hidden=32, steps=400)
    prior = learn_decoder(both, reference_atlas(NUM_PLACES), settings)
    assert prior.num_people == 2
    torch.testing.assert_close(prior.mean, both.mean(dim=0))
    importance = torch.tensor(IMPORTANCE)
    code = torch.zeros(2, prior.num_codes, requires_grad=True)
    optimizer = torch.optim.Adam([code], lr=0.05)
    for _ in range(150):
        error = torch.stack([prior.attributes(each) for each in code]) - both
        loss = (importance * error).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    start = (importance * (both - prior.mean)).square().mean()
    assert loss < 0.01 * start


def test_one_person_is_too_few() -> None:
    with pytest.raises(ValueError, match="found 1 person"):
        learn_decoder(people(1), reference_atlas(NUM_PLACES), SMALL)


def test_learning_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_learning, "_KEEP_EVERY", 10)
    everybody, atlas, state = people(4), reference_atlas(NUM_PLACES), tmp_path / "decoder.pt"
    settings = replace(SMALL, steps=25)
    whole = learn_decoder(everybody, atlas, settings, tmp_path / "whole.pt")
    step, numbers = decoder_learning._Training.step, []

    def counted(training: decoder_learning._Training, number: int) -> None:
        if number == 14 and len(numbers) < 15:
            numbers.append(-1)
            raise KeyboardInterrupt
        numbers.append(number)
        step(training, number)

    monkeypatch.setattr(decoder_learning._Training, "step", counted)
    with pytest.raises(KeyboardInterrupt):
        learn_decoder(everybody, atlas, settings, state)
    resumed = learn_decoder(everybody, atlas, settings, state)
    assert numbers == [*range(14), -1, *range(10, 25)]
    code = torch.ones(whole.num_codes)
    assert torch.equal(resumed.attributes(code), whole.attributes(code))
    numbers.clear()
    learn_decoder(everybody, atlas, settings, state)
    assert numbers == []  # all steps were done


@pytest.mark.parametrize("change", ["other people", "other settings", "damage", "no state"])
def test_a_state_that_does_not_fit_is_not_used(change: str, tmp_path: Path) -> None:
    atlas, state, settings = reference_atlas(NUM_PLACES), tmp_path / "decoder.pt", replace(SMALL, steps=3)
    learn_decoder(people(3), atlas, settings, state)
    everybody = people(3, seed=1) if change == "other people" else people(3)
    if change == "other settings":
        settings = replace(settings, seed=1)
    elif change == "damage":
        state.write_bytes(state.read_bytes()[:500])
    elif change == "no state":
        torch.save([1, 2], state)
    found, expected = (learn_decoder(everybody, atlas, settings, each) for each in (state, None))
    code = torch.ones(found.num_codes)
    assert torch.equal(found.attributes(code), expected.attributes(code))


def test_the_code_of_a_photographed_person_is_found() -> None:
    prior: Prior = drawn()
    assert isinstance(prior, DecoderPrior)
    truth = prior.attributes(0.7 * torch.randn(prior.num_codes, generator=torch.Generator().manual_seed(2)))
    photo = photographed(truth, 1)
    found = prior.fit(record(), photo, 1, torch.Generator().manual_seed(0), CodeFitSettings(steps=40))
    assert found.surfels.num_surfels == NUM_PLACES and found.surfels.sh_degree == 1
    assert found.confidence.min() == 0 and found.confidence.max() > 0.9


def test_the_file_holds_the_prior(tmp_path: Path) -> None:
    prior, path = drawn(), tmp_path / "prior.npz"
    prior.save(path)
    loaded = load_prior(path)
    assert isinstance(loaded, DecoderPrior)
    assert (loaded.num_people, loaded.num_places, loaded.num_codes) == (12, NUM_PLACES, prior.num_codes)
    code = torch.randn(prior.num_codes, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(loaded.attributes(code), prior.attributes(code), atol=1e-2, rtol=2e-3)
    again = tmp_path / "again.npz"
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("tone", lambda a: a[:, :7], "'tone': found shape"),
        ("tone", lambda a: a * np.float16(np.inf), "'tone'"),
        ("features", lambda a: a[:7], "'features': found shape"),
        ("features", lambda a: np.full_like(a, 1000), "'features': found numbers up to"),
        ("features", None, "'features': found nothing"),
        ("deviation", lambda a: a[:2], "'deviation': found shape"),
        ("scale", lambda a: a * np.float32(np.nan), "'scale'"),
        ("weight_0", lambda a: a[:, :5], "'weight_0': found 5 inputs, expected 4 for the features and 3 for the code"),
        ("weight_0", None, "'weight_0': found nothing"),
        ("weight_1", lambda a: a[:, :5], "'weight_1': found shape"),
        ("weight_2", lambda a: a[:5], "'weight_2': found shape"),
        ("weight_2", lambda a: np.full_like(a, 1000), "'weight_2': found numbers up to"),
        ("bias_1", lambda a: a[:5], "'bias_1': found shape"),
        ("bias_2", None, "'bias_2': found nothing"),
        ("model", lambda a: np.array("oracle"), "'model': found oracle, expected a model of this version: decoder"),
        ("model", lambda a: np.array("linear"), "'modes': found nothing"),
    ],
)
def test_broken_files_are_refused(
    tmp_path: Path, name: str, change: Callable[[np.ndarray], np.ndarray] | None, message: str
) -> None:
    path = tmp_path / "prior.npz"
    drawn().save(path)
    spoil(path, name, change)
    with pytest.raises(PriorError, match=message) as raised:
        load_prior(path)
    assert str(path) in str(raised.value)


def test_a_file_without_a_hidden_layer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prior.npz"
    drawn().save(path)
    arrays = dict(np.load(path))
    write_npz(path, {name: each for name, each in arrays.items() if name not in ("weight_1", "weight_2")})
    with pytest.raises(PriorError, match="'weight_0': found weights of 1 layers"):
        load_prior(path)


@pytest.mark.parametrize(
    ("name", "value", "highest"),
    [("code_length", 0, 512), ("num_features", 257, 256), ("hidden", 0, 1024), ("steps", 0, 1_000_000)],
)
def test_settings_out_of_range_are_named(name: str, value: int, highest: int) -> None:
    with pytest.raises(OptionError, match=f"decoder.{name}={value}: expected 1 to {highest}"):
        replace(SMALL, **{name: value}).check()


def test_outputs_of_several_people_are_those_of_each() -> None:
    prior = drawn()
    codes = torch.randn(2, NUM_PLACES, LENGTH, generator=torch.Generator().manual_seed(0))
    together = decoded(prior.network, prior.features.expand(2, -1, -1), codes)
    for number in range(2):
        torch.testing.assert_close(together[number], decoded(prior.network, prior.features, codes[number]))
