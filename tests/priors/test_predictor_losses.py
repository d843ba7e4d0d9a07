"""Losses of a predictor: closed forms, and gradients in float64."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from sage_ns.avatar.light import plain_light
from sage_ns.geometry.rotations import axis_angle_to_matrix, axis_angle_to_quaternion
from sage_ns.priors.predictor_losses import (
    PredictorWeights,
    coefficients,
    distance,
    head_terms,
    landmark_distance,
    light_difference,
    weighed,
)
from sage_ns.priors.predictor_surfels import PlacedPerson, axis_sizes
from sage_ns.raster import PinholeCamera, Surfels, rasterize
from tests.priors.predicted import cameras, double_rig, guesses

FLAT = (1.0, 0.0, 0.0, 0.0)
BEND = 0.002
"""Of Huber's loss of depths, metres."""


def wall(away: float = 0.0, turn: float = 0.0, count: int = 5) -> PlacedPerson:
    """Surfels on a wall at right angles to the z axis, moved off it along z [metres] and turned [radians]."""
    steps = torch.linspace(-0.04, 0.04, count).double()
    x, y = torch.meshgrid(steps, steps, indexing="xy")
    places = torch.stack([x.flatten(), y.flatten(), 0 * x.flatten()], dim=1)
    count = len(places)
    flat = torch.tensor(FLAT).double().expand(count, 4)
    turned = axis_angle_to_quaternion(torch.tensor([turn, 0.0, 0.0]).double()).expand(count, 4)
    moved = places + torch.tensor([0.0, 0.0, away]).double()
    sizes, full = torch.full((count, 2), 0.012).double(), torch.full((count,), 0.9).double()
    keep = torch.ones(count).double()
    return PlacedPerson(
        Surfels(moved, turned, sizes, full, torch.full((count, 3), 0.5).double()),
        Surfels(places, flat, sizes, full, torch.ones(count, 3).double()),
        torch.tensor([0.0, 0.0, 1.0]).double().expand(count, 3),
        keep,
    )


def front() -> PinholeCamera:
    pose = torch.eye(4).double()
    pose[2, 3] = 0.5
    return PinholeCamera.from_opengl(pose, 60.0, 60.0, 4.0, 4.0, 8, 8)


def depth_loss(person: PlacedPerson) -> Tensor:
    buffers = rasterize(person.surfels, front())
    return person.depth_consistency(buffers.depth, buffers.alpha, front())


def test_normals_of_surfels_on_their_triangles_agree() -> None:
    assert float(wall().normal_consistency()) == pytest.approx(0.0, abs=1e-12)


def test_turned_surfels_cost_one_minus_the_cosine() -> None:
    expected = 0.9 * (1 - torch.tensor(0.4).double().cos())
    torch.testing.assert_close(wall(turn=0.4).normal_consistency(), expected)


def test_hair_may_stand_off() -> None:
    person = wall(turn=0.4)
    assert float(replace(person, keep=0 * person.keep).normal_consistency()) == 0


def test_the_depth_of_surfels_on_the_mesh_is_that_of_the_mesh() -> None:
    assert float(depth_loss(wall())) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("away", [0.001, 0.01, -0.01])
def test_surfels_before_or_behind_a_wall_cost_their_distance(away: float) -> None:
    """Huber's loss with its bend at 2 mm."""
    size = abs(away)
    expected = size**2 / (2 * BEND) if size < BEND else size - BEND / 2
    assert float(depth_loss(wall(away))) == pytest.approx(expected, rel=2e-3)


def test_surfels_before_the_mesh_are_moved_back() -> None:
    person = wall(0.01)
    person.surfels.means.requires_grad_(True)
    depth_loss(person).backward()
    slope = person.surfels.means.grad
    assert slope is not None and float(slope[12, 2]) > 0 and not person.on_mesh.means.requires_grad


def test_the_gradients_of_the_consistencies() -> None:
    """Coverage weighs the pixels and gets no gradient."""
    person = wall(0.004, 0.3, count=2)
    # Surfels at one depth would change their order.
    steps = 3e-4 * torch.arange(4).double()[:, None] * torch.tensor([0.0, 0.0, 1.0]).double()
    person = replace(person, surfels=replace(person.surfels, means=person.surfels.means + steps))
    alpha = rasterize(person.surfels, front()).alpha

    def loss(means: Tensor, quaternions: Tensor) -> Tensor:
        moved = replace(person, surfels=replace(person.surfels, means=means, quaternions=quaternions))
        depth = rasterize(moved.surfels, front()).depth
        return moved.depth_consistency(depth, alpha, front()) + moved.normal_consistency()

    inputs = [getattr(person.surfels, name).clone().requires_grad_(True) for name in ("means", "quaternions")]
    assert torch.autograd.gradcheck(loss, inputs, eps=1e-7, atol=1e-5, rtol=1e-3)


def test_points_that_are_moved_cost_their_distance() -> None:
    points = torch.randn(2, 7, 3).double()
    assert float(distance(points + torch.tensor([0.03, 0.0, 0.04]).double(), points)) == pytest.approx(0.05, rel=0.01)
    assert float(distance(points, points)) == pytest.approx(0.0, abs=1e-12)


def test_lights_are_compared_by_their_factors() -> None:
    light = plain_light()[None]
    assert float(light_difference(2 * light, light)) == pytest.approx(1.0)
    assert float(light_difference(light, light)) == 0


def test_landmarks_cost_their_mean_difference() -> None:
    points = torch.rand(1, 5, 2)
    assert float(landmark_distance(points + torch.tensor([0.1, -0.3]), points)) == pytest.approx(0.2)


def test_a_true_guess_costs_nothing_but_its_coefficients() -> None:
    guess, camera = guesses(3), cameras(3)
    terms = head_terms(guess, guess, double_rig(), camera)
    cost = terms.pop("coefficients")
    torch.testing.assert_close(cost, coefficients(guess))
    assert all(float(each) == pytest.approx(0.0, abs=1e-9) for each in terms.values())


def test_a_head_that_is_only_turned_is_right_at_rest() -> None:
    guess, camera = guesses(2), cameras(2)
    turn = axis_angle_to_matrix(torch.tensor([[0.0, 0.2, 0.0]]).double())
    terms = head_terms(replace(guess, rotation=guess.rotation @ turn), guess, double_rig(), camera)
    assert float(terms["posed"]) > 0.5 and float(terms["still"]) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("name", ["shape", "jaw", "place", "light"])
def test_the_gradients_of_the_losses_of_heads(name: str) -> None:
    guess, truth, camera = guesses(1), guesses(1, seed=1), cameras(1)

    def loss(value: Tensor) -> Tensor:
        return weighed(head_terms(replace(guess, **{name: value}), truth, double_rig(), camera), PredictorWeights())

    value = getattr(guess, name).clone().requires_grad_(True)
    assert torch.autograd.gradcheck(loss, value, eps=1e-7, atol=1e-4, rtol=1e-3)


def test_every_loss_has_a_weight() -> None:
    names = {field.name for field in fields(PredictorWeights)}
    assert set(head_terms(guesses(1), guesses(1), double_rig(), cameras(1))) <= names
    both = {"l1": torch.tensor(2.0), "silhouette": torch.tensor(1.0)}
    assert float(weighed(both, PredictorWeights(l1=3.0, silhouette=0.5))) == pytest.approx(6.5)


def test_a_triangle_has_a_size_along_each_axis() -> None:
    corners = torch.tensor([[0.0, 0.0, 0.0], [0.02, 0.0, 0.0], [0.005, 0.01, 0.0]])
    found = axis_sizes(corners, torch.tensor([[0, 1, 2]]))
    torch.testing.assert_close(found, torch.tensor([[0.02, 0.01, 0.01]]))
