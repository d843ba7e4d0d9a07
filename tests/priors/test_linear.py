"""The linear prior: learning, decoding, the file, and the person whom pictures show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sage_ns.errors import SageError
from sage_ns.geometry.spherical_harmonics import C0
from sage_ns.priors.attributes import COLOUR, attributes_of, surfels_of
from sage_ns.priors.code_fit import CodeFitSettings
from sage_ns.priors.coded import PriorError, load_prior
from sage_ns.priors.contract import Prior
from sage_ns.priors.linear import LinearPrior
from sage_ns.priors.linear_learning import learn_linear
from sage_ns.priors.parts import GROUPS, groups_of
from sage_ns.priors.person_fit import PersonFitSettings, fit_person
from sage_ns.priors.sitter import Sitter, reference_atlas, sit
from sage_ns.raster import PinholeCamera
from sage_ns.system.array_fields import write_npz
from tests.priors.people import NUM_PLACES, cameras, drawn, mean_person, people, photographed, record, spoil


@pytest.fixture(scope="module")
def prior() -> LinearPrior:
    return learn_linear(people(12), reference_atlas(NUM_PLACES))


def test_attributes_are_those_of_the_surfels_and_back() -> None:
    person = people(1)[0]
    torch.testing.assert_close(attributes_of(surfels_of(person, sh_degree=1)), person, atol=1e-5, rtol=1e-5)
    assert surfels_of(person, sh_degree=2).sh_rest.shape == (NUM_PLACES, 8, 3)


def test_people_of_the_training_set_are_in_the_span_of_the_prior(prior: LinearPrior) -> None:
    person = people(12)[3]
    matrix = torch.stack([prior.attributes(unit) - prior.mean for unit in torch.eye(prior.num_codes)])
    matrix = matrix.flatten(1).double().T
    wanted = (person - prior.mean).flatten().double()
    code = torch.linalg.lstsq(matrix, wanted[:, None], driver="gelsd").solution[:, 0]
    torch.testing.assert_close(matrix @ code, wanted, atol=2e-3, rtol=0)
    torch.testing.assert_close(prior.attributes(torch.zeros(prior.num_codes)), people(12).mean(dim=0))


def test_each_group_has_codes_of_its_own_and_tones_are_shared(prior: LinearPrior) -> None:
    group, count = groups_of(reference_atlas(NUM_PLACES)), len(prior.modes)
    for number in range(len(GROUPS)):
        code = torch.zeros(prior.num_codes)
        code[len(prior.tone) + number * count :][:count] = 1.0
        changed = (prior.attributes(code) - prior.mean).abs().amax(dim=-1) > 1e-6
        assert not changed[group != number].any()
    for entry, on_hair in ((0, False), (len(prior.tone) - 1, True)):  # a tone of skin, and one of hair
        tone = torch.zeros(prior.num_codes)
        tone[entry] = 1.0
        changed = (prior.attributes(tone) - prior.mean).abs()
        assert changed[:, : COLOUR.start].max() == 0
        moved, hair = changed[:, COLOUR].amax(dim=-1) > 1e-3, group == list(GROUPS).index("hair")
        assert moved[hair].float().mean() > 0.9 if on_hair else not moved[hair].any()
        assert on_hair or moved[~hair].float().mean() > 0.9


def test_the_gradient_reaches_the_code(prior: LinearPrior) -> None:
    exact = LinearPrior(prior.mean.double(), prior.tone.double(), prior.modes.double(), 12)
    code = torch.randn(exact.num_codes, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(NUM_PLACES, 9, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((exact.attributes(code) * weight).sum(), code)
    for entry in (0, len(exact.tone), exact.num_codes - 1):  # linear: any step is exact
        step = torch.zeros_like(code)
        step[entry] = 1.0
        difference = ((exact.attributes(code + step) - exact.attributes(code)) * weight).sum()
        torch.testing.assert_close(gradient[entry], difference.detach())


def test_one_person_is_too_few() -> None:
    with pytest.raises(ValueError, match="found 1 person"):
        learn_linear(people(1), reference_atlas(NUM_PLACES))


def test_a_fitted_person_looks_like_the_pictures_and_stays_near_the_mean_where_nothing_shows_it() -> None:
    person = people(1, seed=5)[0]
    sitter = sit(record(), photographed(person), NUM_PLACES)
    fitted = fit_person(sitter, mean_person(), PersonFitSettings(), 40, torch.Generator().manual_seed(0))
    errors = [
        [float((drawn(each, sitter, shot.camera)[0] - shot.picture).abs().mean()) for shot in sitter.shots]
        for each in (mean_person(), fitted)
    ]
    assert sum(errors[1]) < 0.75 * sum(errors[0])
    again = fit_person(sitter, mean_person(), PersonFitSettings(), 40, torch.Generator().manual_seed(0))
    assert torch.equal(again, fitted)
    free = fit_person(sitter, mean_person(), PersonFitSettings(pull=0.0), 40, torch.Generator().manual_seed(0))
    assert (fitted - mean_person()).norm() < (free - mean_person()).norm()


def test_the_code_of_a_photographed_person_is_found(prior: LinearPrior) -> None:
    fits_protocol: Prior = prior
    generator = torch.Generator().manual_seed(3)
    truth = prior.attributes(0.7 * torch.randn(prior.num_codes, generator=generator))
    photo = photographed(truth, 1)
    found = fits_protocol.fit(record(), photo, 1, torch.Generator().manual_seed(0))
    assert found.surfels.num_surfels == NUM_PLACES and found.surfels.sh_degree == 1
    sitter = sit(record(), photo, NUM_PLACES)
    for camera in cameras(3):  # beside the photo, too: hair and skin have one tone everywhere
        expected = drawn(truth, sitter, camera)[0]
        colors = [0.5 + C0 * found.surfels.sh_dc.detach()[:, 0], prior.mean[:, COLOUR]]
        off = [(drawn_colors(truth, each, sitter, camera) - expected).abs().mean() for each in colors]
        assert off[0] < 0.35 * off[1]
    assert found.confidence.min() == 0 and found.confidence.max() > 0.9
    facing = sitter.posed.axes[:, 2, 1]
    assert found.confidence[facing < -0.3].max() == 0
    assert found.confidence[facing > 0.7].mean() > 0.5


def drawn_colors(attributes: Tensor, colors: Tensor, sitter: Sitter, camera: PinholeCamera) -> Tensor:
    changed = attributes.clone()
    changed[:, COLOUR] = colors
    return drawn(changed, sitter, camera)[0]


def test_a_gain_explains_the_white_balance(prior: LinearPrior) -> None:
    photo = photographed(prior.mean, 1)[0]
    gain = torch.tensor([0.8, 1.0, 1.1])
    tinted = replace(photo, picture=(photo.picture - 1 + photo.foreground) * gain + 1 - photo.foreground)
    certain = CodeFitSettings(steps=160, likelihood=1.0, gain_weight=0.0, gain_rate=0.08)
    surfels = prior.fit(record(), [tinted], 0, torch.Generator().manual_seed(0), certain).surfels
    ratio = (0.5 + C0 * surfels.sh_dc.detach()[:, 0]) / prior.mean[:, COLOUR]
    torch.testing.assert_close(ratio.median(dim=0).values, gain, atol=0.06, rtol=0)


def test_pixels_that_do_not_move_with_the_skull_count_for_nothing(prior: LinearPrior) -> None:
    photo = photographed(prior.mean, 1)[0]
    spoiled = replace(photo, picture=torch.zeros_like(photo.picture), steady=torch.zeros(52, 40, 1))
    found = prior.fit(record(), [spoiled], 0, torch.Generator().manual_seed(0), CodeFitSettings(steps=5))
    torch.testing.assert_close(0.5 + C0 * found.surfels.sh_dc.detach()[:, 0], prior.mean[:, COLOUR], atol=5e-3, rtol=0)
    assert found.confidence.max() == 0


def test_pictures_with_masks_are_needed(prior: LinearPrior) -> None:
    generator = torch.Generator()
    with pytest.raises(SageError, match="at least one with a mask"):
        prior.fit(record(), [], 0, generator)
    with pytest.raises(SageError, match="has no mask, which a prior needs"):
        prior.fit(record(), [replace(photographed(prior.mean, 1)[0], mask=None)], 0, generator)


def test_the_file_holds_the_prior(prior: LinearPrior, tmp_path: Path) -> None:
    path = tmp_path / "prior.npz"
    prior.save(path)
    loaded = load_prior(path)
    assert isinstance(loaded, LinearPrior)
    assert loaded.num_people == 12 and loaded.num_places == NUM_PLACES
    torch.testing.assert_close(loaded.mean, prior.mean, atol=5e-3, rtol=1e-3)
    torch.testing.assert_close(loaded.tone, prior.tone, atol=1e-3, rtol=1e-3)
    largest = prior.modes.abs().amax(dim=1, keepdim=True)
    assert ((loaded.modes - prior.modes).abs() <= 0.51 / 127 * largest + 1e-7).all()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("format", lambda a: a + 1, "'format': found 2, expected 1"),
        ("model", lambda a: np.array("oracle"), "'model': found oracle, expected a model of this version: .*linear"),
        ("model", lambda a: np.array(3), "'model': found type int64, expected strings"),
        ("atlas", lambda a: np.array("other"), "'atlas': found other, expected 1000 places"),
        ("mean", lambda a: a[:99], "'mean': found 99 places"),
        ("mean", lambda a: a * np.float16(np.nan), "'mean'"),
        ("mean", lambda a: a * np.float16(1000), "'mean': found numbers up to"),
        ("tone", lambda a: a[:, :7], "'tone': found shape"),
        ("modes", lambda a: a.astype(np.float16) + np.float16(0.5), "'modes': found type float16, expected integers"),
        ("modes", lambda a: np.full(a.shape, -128, np.int8), "'modes': found values up to 128"),
        ("step", lambda a: a * np.float32(np.inf), "'step'"),
        ("step", lambda a: a[:1], "'step': found shape"),
        ("num_people", None, "'num_people': found nothing"),
    ],
)
def test_broken_files_are_refused(
    prior: LinearPrior, tmp_path: Path, name: str, change: Callable[[np.ndarray], np.ndarray] | None, message: str
) -> None:
    path = tmp_path / "prior.npz"
    prior.save(path)
    spoil(path, name, change)
    with pytest.raises(PriorError, match=message) as raised:
        load_prior(path)
    assert str(path) in str(raised.value)


def test_a_file_that_names_no_model_is_refused(prior: LinearPrior, tmp_path: Path) -> None:
    path = tmp_path / "prior.npz"
    prior.save(path)
    arrays = dict(np.load(path))
    assert str(arrays.pop("model")) == "linear"
    write_npz(path, arrays)
    with pytest.raises(PriorError, match="'model': found nothing"):
        load_prior(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PriorError, match=r"nobody\.npz"):
        load_prior(tmp_path / "nobody.npz")
