"""The uv model: still and moving maps, learning from pictures, the file, and the person whom a picture shows."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sage_ns.avatar.atlas import places_on
from sage_ns.avatar.atlas_surfels import PosedPlaces
from sage_ns.cli.prior import main
from sage_ns.evaluation.true_surface import Truth, plain_mesh
from sage_ns.geometry.vertex_means import vertex_normals
from sage_ns.priors import uv_learning
from sage_ns.priors.attributes import surfels_of
from sage_ns.priors.code_fit import CodeFitSettings
from sage_ns.priors.coded import PriorError, load_prior
from sage_ns.priors.contract import Prior
from sage_ns.priors.models.uv import UvModel, UvSettings
from sage_ns.priors.people import canonical_views
from sage_ns.priors.sitter import reference_atlas, reference_head
from sage_ns.priors.uv import UvPrior, make_decoders
from sage_ns.priors.uv_decoder import SIZES, CachedPerson, UvDecoders, UvSize, moving_places
from sage_ns.priors.uv_learning import UvLearning, learn_uv
from sage_ns.priors.uv_people import Film, film_people, surface_offsets
from sage_ns.priors.uv_personal import PersonalSettings, personalised
from sage_ns.rig import pose_vertices
from sage_ns.system.array_fields import write_npz
from sage_ns.training.losses import LossWeights
from tests.image.test_feature_network import write_vgg
from tests.priors.filmed import moment_of, write_people
from tests.priors.people import NUM_PLACES, mean_person
from tests.priors.test_learning import refused

SIZE = UvSize((16, 16, 8, 8), 8, 4)
LEARNING = UvLearning(SIZE, static_steps=100, dynamic_steps=40, people_per_step=2, fine_from=0.0, rate=5e-3)
GREY = mean_person().repeat(2, 1, 1)


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return write_people(tmp_path_factory.mktemp("filmed"), 2)


@pytest.fixture(scope="module")
def prior(captures: list[Any], tmp_path_factory: pytest.TempPathFactory) -> UvPrior:
    return learn_uv(GREY, captures, LEARNING, tmp_path_factory.mktemp("work"), "cpu")


def some_decoders() -> UvDecoders:
    torch.manual_seed(0)
    return make_decoders(mean_person(), SIZE).requires_grad_(False)


def codes() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(SIZE.identity, generator=generator), torch.randn(SIZE.expression, generator=generator)


def test_sizes_double_from_four_texels() -> None:
    assert {name: size.resolution for name, size in SIZES.items()} == {"toy": 32, "full": 128}
    assert some_decoders().static(torch.zeros(3, SIZE.identity)).shape == (3, 9, 32, 32)


def test_expressions_move_only_the_face_and_the_neutral_one_moves_nothing() -> None:
    decoders, (identity, expression) = some_decoders(), codes()
    still = decoders.still(identity[None])
    assert torch.equal(decoders(identity[None], torch.zeros(1, SIZE.expression)), still)
    moved = ((decoders(identity[None], expression[None]) - still)[0].abs() > 0).any(dim=-1)
    face = torch.zeros(NUM_PLACES, dtype=torch.bool)
    face[moving_places(reference_atlas(NUM_PLACES))] = True
    assert not moved[~face].any() and moved[face].float().mean() > 0.95


def test_what_is_kept_of_a_person_gives_the_same_attributes_to_the_last_bit() -> None:
    decoders, (identity, expression) = some_decoders(), codes()
    person = CachedPerson(decoders, identity)
    calls = []
    decoders.static.register_forward_hook(lambda *_: calls.append(1))
    for scale in (0.0, 1.0, -2.0):
        kept = person.attributes(scale * expression)
        assert not calls  # playback does not run the static decoder
        assert torch.equal(kept, decoders(identity[None], scale * expression[None])[0])
        calls.clear()
    assert torch.equal(person.still, decoders.still(identity[None])[0])


def test_changes_are_the_slope_of_the_attributes() -> None:
    decoders, (identity, expression) = some_decoders().double(), (each.double() for each in codes())
    person = CachedPerson(decoders, identity)
    slopes, step = person.changes(expression), 1e-5 * torch.eye(SIZE.expression, dtype=torch.float64)
    for entry in range(SIZE.expression):
        both = (person.attributes(expression + sign * step[entry])[decoders.moving] for sign in (1, -1))
        difference = next(both) - next(both)
        torch.testing.assert_close(slopes[entry], difference / 2e-5, atol=1e-8, rtol=1e-5)


@pytest.fixture(scope="module")
def film(captures: list[Any]) -> Film:
    return film_people(captures, NUM_PLACES, SIZE.expression, 8, "cpu")


def test_true_surfaces_beside_a_capture_choose_what_the_expression_code_holds(
    captures: list[Any], film: Film, tmp_path: Path
) -> None:
    shutil.copytree(captures[0].data, tmp_path / "truth" / "person")
    options = replace(captures[0], data=tmp_path / "truth" / "person")
    record, _ = canonical_views(options)
    vertices = pose_vertices(record.head_model, record.flame_params[:3])
    triangles = record.head_model.triangles
    normals = torch.stack([vertex_normals(each, triangles) for each in vertices])
    swollen = vertices + 5e-4 * torch.arange(3)[:, None, None] * normals
    places = places_on(reference_atlas(NUM_PLACES), reference_head(), record.head_model)
    posed = PosedPlaces(places, vertices[2], triangles)
    offsets = surface_offsets(posed, Truth(plain_mesh(swollen[2], triangles), torch.ones(len(triangles)).bool()))
    torch.testing.assert_close(offsets.median(dim=0).values, torch.tensor([0.0, 1e-3, 0.0]), atol=1e-4, rtol=0)
    arrays = {"timesteps": np.arange(3), "vertices": swollen.numpy(), "triangles": triangles.numpy()}
    write_npz(options.data / "truth" / "surface.npz", {**arrays, "face": np.ones(len(triangles), dtype=bool)})
    assert film.expressions.explained == 0
    assert film_people([captures[1], options], NUM_PLACES, 4, 8, "cpu").expressions.explained > 0.5


def loss_of(attributes: Tensor, film: Film, person: int, row: int) -> float:
    """Mean loss of the training pictures of a moment."""
    moment = 3 * person + row
    shots = [film.shot(moment, number, film.pixels(moment, number)) for number in range(2)]
    ground, weights = torch.tensor([0.2, 0.5, 0.3]), LossWeights()
    losses = [film.sitter(moment).picture_loss(surfels_of(attributes), shot, ground, weights) for shot in shots]
    return float(torch.stack(losses).mean())


@pytest.mark.slow
def test_two_people_are_learned_and_so_is_how_their_faces_redden(prior: UvPrior, film: Film) -> None:
    assert prior.num_codes == 1
    last = film.codes[[2, 5]]
    found = []
    for sign in (1, -1):
        code = torch.tensor([sign * 2**-0.5])  # two people of mean 0 and deviation 1
        still = prior.attributes(code)
        losses = [loss_of(still, film, person, 0) for person in (0, 1)]
        person = int(losses[1] < losses[0])
        found.append(person)
        assert losses[person] < 0.5 * loss_of(mean_person(), film, person, 0)
        assert losses[person] < 0.7 * losses[1 - person]
        red = prior.attributes(code, last[person])
        assert loss_of(red, film, person, 2) < 0.8 * loss_of(still, film, person, 2)
    assert sorted(found) == [0, 1]


def test_the_file_brings_the_prior_back(prior: UvPrior, tmp_path: Path) -> None:
    prior.save(tmp_path / "prior.npz")
    again = load_prior(tmp_path / "prior.npz")
    assert isinstance(again, UvPrior) and again.num_people == 2 and again.describe() == prior.describe()
    code, expression = torch.ones(1), codes()[1]
    torch.testing.assert_close(
        again.attributes(code, expression), prior.attributes(code, expression), atol=0.02, rtol=0
    )
    motion = torch.randn(3, *prior.expressions.directions.shape[1:]) * 0.001
    torch.testing.assert_close(again.expressions.code(motion), prior.expressions.code(motion), atol=0.02, rtol=0.01)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("channels", np.array([16, 16, 8]), "'weight.dynamic.blocks.2"),
        ("channels", np.array([], dtype=np.int64), "'channels'"),
        ("channels", np.array([16] * 9), "'channels'"),
        ("channels", np.array([10**6, 10**6]), "'channels'"),
        ("center", np.zeros(7), "'basis'"),
        ("basis", np.zeros((0, 8)), "'basis'"),
        ("directions", np.zeros((4, 7, 3)), "'directions'"),
        ("directions", 1e9, "'directions'"),
        ("explained", 7.0, "'explained'"),
        ("weight.static.first.bias", np.nan, "'weight.static.first.bias'"),
        ("weight.static.first.bias", 1e9, "'weight.static.first.bias'"),
        ("weight.dynamic.last.weight", None, "'weight.dynamic.last.weight'"),
    ],
)
def test_broken_files_are_refused(prior: UvPrior, tmp_path: Path, field: str, value: Any, message: str) -> None:
    path = tmp_path / "prior.npz"
    prior.save(path)
    with np.load(path) as file:
        arrays = dict(file)
    before = arrays.pop(field)
    if value is not None:
        arrays[field] = np.full(before.shape, value) if isinstance(value, float) else value
    write_npz(path, arrays)
    with pytest.raises(PriorError, match=message):
        load_prior(path)


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_gives_the_same_prior(
    captures: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(LEARNING, static_steps=7, dynamic_steps=5)
    whole = learn_uv(GREY, captures, short, tmp_path / "whole", "cpu")
    monkeypatch.setattr(uv_learning, "_KEPT_EVERY", 2)
    keep, kept = uv_learning._keep, []

    def until_killed(*arguments: Any) -> None:
        keep(*arguments)
        kept.append(1)
        if len(kept) in (2, 5):  # in each of the stages
            raise KeyboardInterrupt

    monkeypatch.setattr(uv_learning, "_keep", until_killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            learn_uv(GREY, captures, short, tmp_path / "stopped", "cpu")
    again = learn_uv(GREY, captures, short, tmp_path / "stopped", "cpu")
    arrays = (whole.arrays(), again.arrays())
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])
    state = tmp_path / "stopped" / "uv.pt"
    state.write_bytes(state.read_bytes()[:500])  # a damaged state is as good as none
    fresh = learn_uv(GREY, captures, short, tmp_path / "stopped", "cpu")
    assert np.array_equal(fresh.arrays()["basis"], whole.arrays()["basis"])


@pytest.mark.slow
def test_a_picture_finds_the_person_and_how_expressions_change_them(prior: UvPrior, captures: list[Any]) -> None:
    checked: Prior = prior
    record, views = canonical_views(captures[1])
    settings, none = CodeFitSettings(steps=12), PersonalSettings(steps=0)
    fitted = prior.fit(record, views, 1, torch.Generator().manual_seed(0), settings, none)
    assert checked is prior and fitted.surfels.num_surfels == NUM_PLACES and fitted.confidence.max() > 0.5
    correctives, motions = fitted.correctives, record.flame_params.motion_vector()
    assert correctives is not None
    same = correctives.corrected(fitted.surfels, motions[0])
    assert all(torch.equal(getattr(same, name), getattr(fitted.surfels, name)) for name in same.PARAMETERS)
    moved = correctives.corrected(fitted.surfels, motions[2])
    change = (moved.sh_dc - fitted.surfels.sh_dc).detach()[:, 0]
    face = moving_places(reference_atlas(NUM_PLACES))
    still = torch.ones(NUM_PLACES, dtype=torch.bool)
    still[face] = False
    assert change[still].abs().max() == 0 and change[face, 0].mean() > 0.05 > change[face, 2].mean()


@pytest.mark.slow
def test_personal_decoders_are_closer_to_the_picture_and_leave_the_prior_alone(
    prior: UvPrior, captures: list[Any], film: Film
) -> None:
    sitter = moment_of(captures[1], 0)
    expression, gain = torch.zeros(SIZE.expression), torch.ones(3)
    weights = {name: value.clone() for name, value in prior.decoders.state_dict().items()}
    start = loss_of(prior.attributes(torch.zeros(1)), film, 1, 0)
    for free in (False, True):
        settings = PersonalSettings(steps=15, free_code=free, rate=2e-3)
        generator = torch.Generator().manual_seed(0)
        own, code = personalised(prior.decoders, prior.center, expression, sitter, gain, settings, generator)
        assert torch.equal(code, prior.center) is not free
        assert loss_of(own.still(code[None])[0], film, 1, 0) < 0.8 * start
    assert all(torch.equal(value, weights[name]) for name, value in prior.decoders.state_dict().items())


@pytest.mark.slow
def test_the_command_learns_and_describes_it(
    captures: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, weights = tmp_path / "prior.npz", write_vgg(tmp_path / "vgg.pth")
    people = [str(options.data) for options in captures]
    command = ["learn", *people, "--output", str(output), "--num-places", "200", "--steps", "2", "--model", "uv"]
    command += ["--uv.static-steps", "2", "--uv.dynamic-steps", "2", "--uv.perceptual-weights", str(weights)]
    main(command)
    assert "32 x 32 texels, 1 codes, expression code of 8" in " ".join(capsys.readouterr().out.split())
    assert isinstance(load_prior(output), UvPrior)
    bare = tmp_path / "bare"
    shutil.copytree(captures[0].data, bare)
    edit_later_frames(bare)
    other = str(tmp_path / "other.npz")
    refused(["learn", str(bare), *people[1:], "--output", other, "--model", "uv"], "found no mask", capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--uv.static-steps", "0"], "--uv.static-steps"),
        (["--uv.dynamic-steps", "0"], "--uv.dynamic-steps"),
        (["--uv.people-per-step", "0"], "--uv.people-per-step"),
        (["--uv.moments", "-1"], "--uv.moments"),
        (["--uv.perceptual", "1000"], "--uv.perceptual"),
        (["--uv.perceptual-weights", "nothing.pth"], "nothing.pth"),
    ],
)
def test_options_that_cannot_be_used_are_named(
    tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(["learn", "a", "b", "--output", str(tmp_path / "p.npz"), "--model", "uv", *options], message, capsys)


def test_fits_alone_do_not_teach_motion(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="learns from captures"):
        UvModel().learn(GREY, UvSettings(), tmp_path, "cpu")


def edit_later_frames(capture: Path) -> None:
    """Take the masks of the training moments after the first away."""
    path = capture / "transforms_train.json"
    content = json.loads(path.read_text())
    for frame in content["frames"]:
        if frame["timestep_index"] > 0:
            del frame["fg_mask_path"]
    path.write_text(json.dumps(content))
