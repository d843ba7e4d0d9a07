"""Turns of a head by the colours of its skin: derivatives, colours that follow a step, a painted head that turns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sage_ns.errors import TrackingError
from sage_ns.geometry.rotations import axis_angle_to_matrix, degrees_between, nearest_rotation
from sage_ns.rig import HeadModel
from sage_ns.rig.regions import Regions
from sage_ns.rig.skull import skull_motions
from sage_ns.synthetic.head import builtin_head
from sage_ns.tracking.log_pictures import LogPictures
from sage_ns.tracking.skin_samples import SkinSamples, skin_samples
from sage_ns.tracking.turn_fit import TurnSettings, fit_turns
from sage_ns.tracking.turn_problem import Look, TurnNoise, TurnProblem, Turns
from sage_ns.tracking.window import Window
from tests.tracking.painted_clip import FOCAL, SIZE, Actor, painted_actor

CENTER = torch.tensor(SIZE, dtype=torch.float64) / 2
FACE_WIDTH = 60.0


@pytest.fixture(scope="module")
def actor(tmp_path_factory: pytest.TempPathFactory) -> Actor:
    return painted_actor(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return builtin_head()


@pytest.fixture(scope="module")
def samples(actor: Actor, model: HeadModel) -> SkinSamples:
    return skin_samples(model, actor.params, 300, 4)


@pytest.fixture(scope="module")
def truth(actor: Actor, model: HeadModel) -> Turns:
    motions = skull_motions(model, actor.params).double()
    return Turns(motions[:, :3, :3], motions[:, :3, 3], torch.zeros(4).double(), torch.zeros(()).double())


@pytest.fixture(scope="module")
def problem(actor: Actor, samples: SkinSamples, truth: Turns) -> TurnProblem:
    pictures = LogPictures.of(actor.frames, Window(0, 0, *SIZE, 1), FACE_WIDTH, FACE_WIDTH)
    return TurnProblem(samples, pictures, FOCAL, CENTER, truth, TurnNoise())


def turned(turns: Turns, degrees: Tensor, samples: SkinSamples) -> Turns:
    """Heads turned about the middles of their faces."""
    turn = axis_angle_to_matrix(torch.deg2rad(degrees.double()))
    arm = samples.points.mean(dim=0) @ turns.rotation.mT
    place = turns.place + arm - (turn @ arm[..., None])[..., 0]
    return replace(turns, rotation=turn @ turns.rotation, place=place)


def test_points_lie_on_the_skin_of_the_face_and_follow_identity(samples: SkinSamples, model: HeadModel) -> None:
    assert float(samples.mesh.closest(samples.points.float()).distance.max()) < 1e-5
    hair = model.v_template[model.regions.vertices("hair")]
    assert float(torch.cdist(samples.points.float(), hair).min()) > 0.0
    assert (samples.normals.norm(dim=1) - 1).abs().max() < 1e-5
    off = torch.tensor([0.5, -1.0, 0.0, 2.0]).double()
    assert torch.allclose(samples.moved(off), samples.points + samples.identity @ off)
    seen = samples.seen_from(torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]).double())
    assert float(seen[0].mean()) > 0.3 and float(seen[1].mean()) < 0.05


def test_a_head_model_without_regions_is_refused(actor: Actor, model: HeadModel) -> None:
    with pytest.raises(TrackingError, match="no regions"):
        skin_samples(replace(model, regions=Regions()), actor.params, 10, 2)


def test_derivatives_are_those_of_the_values(problem: TurnProblem, truth: Turns) -> None:
    sight = problem.sight(truth)
    own, shared = problem._derivatives(truth, sight)
    step = 1e-6

    def change(own_step: Tensor, shared_step: Tensor) -> Tensor:
        moved = problem._moved(truth, sight, own_step, shared_step)
        return (problem.sight(moved, sight.weights).values - sight.values) / step

    none = torch.zeros(len(own), 6).double(), torch.zeros(shared.shape[-1]).double()
    seen = sight.weights > 0
    for column in range(6):
        moved = none[0].clone()
        moved[:, column] = step
        expected, found = change(moved, none[1])[seen], own[..., column][seen]
        # Values are bilinear: a few points cross the border of a pixel.
        assert float(((found - expected).abs() > 1e-3 * (1 + expected.abs())).float().mean()) < 0.01
    for column in range(shared.shape[-1]):
        moved = none[1].clone()
        moved[column] = step
        expected, found = change(none[0], moved)[seen], shared[..., column][seen]
        assert float(((found - expected).abs() > 1e-3 * (1 + expected.abs())).float().mean()) < 0.01


def test_a_step_is_that_of_heads_and_colours_together(problem: TurnProblem, truth: Turns, samples: SkinSamples) -> None:
    few = replace(problem, noise=replace(problem.noise, focal=0.0))
    start = turned(truth, torch.tensor([[1.5, -1.0, 0.5]]).expand(6, 3), samples)
    sight = few.sight(start)
    look = few.look(sight)
    found = few.step(start, sight, look)(0.0)
    # The same normal equations with the colours as unknowns.
    own, shared = few._derivatives(start, sight)
    count, points = len(own), len(samples.points)
    weight = sight.weights[..., None] * few._robust(sight, look) * few._share(sight) / few.noise.color**2
    size = 6 * count + shared.shape[-1] + 3 * points
    jacobian = torch.zeros(count, points, 3, size).double()
    for moment in range(count):
        jacobian[moment, :, :, 6 * moment : 6 * moment + 6] = own[moment]
    jacobian[..., 6 * count : 6 * count + shared.shape[-1]] = shared
    colors = jacobian[..., -3 * points :].reshape(count, points, 3, points, 3)
    for point in range(points):
        colors[:, point, :, point] = -torch.eye(3).double()
    flat, w = jacobian.reshape(-1, size), weight.flatten()
    normal, slope = (flat.T * w) @ flat, (flat.T * w) @ sight.unexplained(look).flatten()
    few._add_priors(normal, slope, start, sight)
    unseen = normal.diagonal() == 0
    normal.diagonal()[unseen] = 1.0
    whole = torch.linalg.solve(normal, -slope)[: 6 * count + shared.shape[-1]]
    expected = few._moved(start, sight, whole[: 6 * count].reshape(count, 6), whole[6 * count :])
    assert torch.allclose(found.rotation, expected.rotation, atol=1e-4)
    assert torch.allclose(found.identity, expected.identity, atol=1e-3)


def test_light_of_the_room_is_told_from_colours(problem: TurnProblem, truth: Turns) -> None:
    sight = problem.sight(truth)
    generator = torch.Generator().manual_seed(1)
    color = torch.rand(sight.values.shape[1:], generator=generator).double()
    light = 0.2 * torch.randn(8, 3, generator=generator).double()
    lit = replace(sight, values=color + sight.harmonics @ light)
    look = Look(color * 0, light * 0)
    for _ in range(30):
        look = problem.look(lit, look)
    seen = sight.weights.sum(dim=0) > 0.5
    assert float(lit.unexplained(look)[sight.weights > 0].abs().mean()) < 0.01
    shade = (sight.harmonics @ (look.light - light))[:, seen]
    assert float((shade - shade.mean(dim=0)).abs().mean()) < 0.02


def test_heads_that_landmarks_turn_wrongly_are_turned_right(actor: Actor, samples: SkinSamples, truth: Turns) -> None:
    pictures = LogPictures.of(actor.frames, Window(0, 0, *SIZE, 1), FACE_WIDTH, FACE_WIDTH)
    yaw = torch.rad2deg(actor.params.rotation[:, 1])
    wrong = torch.stack([0.15 * yaw, -0.1 * yaw, torch.zeros_like(yaw)], dim=1)
    start = turned(truth, wrong, samples)
    settings = TurnSettings(widths=(30, 60), coarse_colors=(0.15,), steps=12, noise=TurnNoise(color=0.08, focal=0.0))
    found = fit_turns(samples, pictures, FACE_WIDTH, FOCAL, CENTER, start, settings)
    before, after = (degrees_between(*_without_offset(each.rotation, truth.rotation)) for each in (start, found.turns))
    assert float(before.mean()) > 2.5
    assert float(after.mean()) < 0.4 * float(before.mean())
    assert found.after < 0.85 * found.before
    assert float(found.turns.log_focal) == 0.0


def _without_offset(found: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """What all heads are turned by alike cannot be told from the places of colours on the skin."""
    return found @ nearest_rotation((true.mT @ found).mean(dim=0)).T, true
