"""MonoNPHM's deformation, with made-up weights."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sage_ns.field.warp.mononphm import MonoNphmWarp, TrackedFrame
from sage_ns.field.warp.mononphm_network import DeformationNetwork
from sage_ns.field.warp.rigid import RigidWarp
from sage_ns.geometry.rigid import moved_points
from sage_ns.geometry.rotations import axis_angle_to_matrix
from tests.field.warp.mononphm_made import EXP, GEO, linear_layers, made_up_layers
from tests.field.warp.moves import numeric_jacobian, turned_head

MATRIX = torch.tensor([[0.1, 0.05, 0.0], [0.0, -0.1, 0.02], [0.03, 0.0, 0.08]])
FROM_EXPRESSION = 0.1 * torch.randn(3, EXP, generator=torch.Generator().manual_seed(5))


def network(layers: dict, dtype: torch.dtype = torch.float64) -> DeformationNetwork:
    weights, biases = (
        [layers[f"defDeepSDF.lin{index}.{kind}"].to(dtype) for index in range(7)] for kind in ("weight", "bias")
    )
    return DeformationNetwork(weights, biases)


def frame(expression: float, turn: float = 0.0, scale: float = 0.9) -> TrackedFrame:
    code = torch.cat([torch.linspace(-1, 1, GEO), torch.full((EXP,), expression)]).double()
    rotation = axis_angle_to_matrix(torch.tensor([0.0, turn, 0.1], dtype=torch.float64))
    translation = torch.tensor([0.05, 0.02, -0.1 + turn], dtype=torch.float64)
    return TrackedFrame(code, rotation, translation, torch.tensor(scale, dtype=torch.float64))


def some_points(count: int = 30) -> Tensor:
    return 0.1 * torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def test_the_network_is_that_of_the_definition() -> None:
    """Layer by layer, with the input joined again before the fourth layer."""
    layers = {name: each.double() for name, each in made_up_layers().items()}
    code, points = frame(0.3).code, some_points()
    start = torch.cat([points, code.expand(len(points), -1)], dim=-1)
    hidden = start
    for index in range(7):
        if index == 3:
            hidden = torch.cat([hidden, start], dim=-1) / math.sqrt(2)
        hidden = hidden @ layers[f"defDeepSDF.lin{index}.weight"].mT + layers[f"defDeepSDF.lin{index}.bias"]
        hidden = hidden if index == 6 else torch.nn.functional.softplus(hidden, beta=100)
    made = network(layers)
    torch.testing.assert_close(made(points, code), hidden[:, :3])
    offsets, jacobian = made.with_jacobian(points, code)
    torch.testing.assert_close(offsets, hidden[:, :3])
    differences = numeric_jacobian(type("", (), {"places": staticmethod(lambda x: made(x, code))}), points)
    torch.testing.assert_close(jacobian, differences, atol=1e-6, rtol=1e-4)
    assert jacobian.abs().max() > 0.01


def test_zero_weights_are_the_motion_of_the_skull_alone() -> None:
    layers = {name: torch.zeros_like(each) for name, each in made_up_layers().items()}
    motion, points = turned_head(torch.float64), some_points()
    head_space = turned_head(torch.float64) @ turned_head(torch.float64)
    warp = MonoNphmWarp(network(layers), frame(0.4), frame(0.1), motion, head_space)
    found, expected = warp(points), RigidWarp(motion)(points)
    torch.testing.assert_close(found.canonical, expected.canonical)
    torch.testing.assert_close(found.jacobian, expected.jacobian)
    assert warp.follows_parts and torch.equal(warp.skull, motion)


def test_the_canonical_moment_stays_where_it_is() -> None:
    warp = MonoNphmWarp(network(made_up_layers()), frame(0.2), frame(0.2), torch.eye(4, dtype=torch.float64))
    points = some_points()
    torch.testing.assert_close(warp(points).canonical, points, atol=1e-12, rtol=0)
    torch.testing.assert_close(warp(points).jacobian, torch.eye(3).double().expand(30, 3, 3), atol=1e-9, rtol=0)


def test_a_linear_network_gives_a_known_map_and_jacobian() -> None:
    made = network(linear_layers(MATRIX, FROM_EXPRESSION))
    posed, canonical, motion = frame(0.4, turn=0.3, scale=1.1), frame(0.1), turned_head(torch.float64)
    points = moved_points(motion, some_points())
    bend, shift = torch.eye(3).double() + MATRIX, FROM_EXPRESSION.double().sum(dim=-1)
    own = moved_points(torch.linalg.inv(motion), points)
    into, back = 4 * posed.scale * posed.rotation, torch.linalg.inv(4 * canonical.scale * canonical.rotation)
    nphm = own @ into.mT + posed.translation
    neutral = nphm @ bend.mT + 0.4 * shift
    place = (neutral - 0.1 * shift) @ torch.linalg.inv(bend).mT
    expected = (place - canonical.translation) @ back.mT
    found = MonoNphmWarp(made, posed, canonical, motion)(points)
    torch.testing.assert_close(found.canonical, expected, atol=1e-6, rtol=0)
    jacobian = back @ torch.linalg.inv(bend) @ bend @ into @ motion[:3, :3].mT
    torch.testing.assert_close(found.jacobian, jacobian.expand(30, 3, 3), atol=1e-6, rtol=0)


def test_the_jacobian_is_that_of_the_map() -> None:
    """In float64, against differences; the fixed point converges as the offsets of the canonical moment are small."""
    warp = MonoNphmWarp(network(made_up_layers()), frame(0.5, 0.2), frame(0.1), turned_head(torch.float64))
    points = moved_points(turned_head(torch.float64), some_points())
    found = warp(points)
    torch.testing.assert_close(found.canonical, warp.places(points))
    torch.testing.assert_close(found.jacobian, numeric_jacobian(warp, points), atol=1e-3, rtol=0)


def test_points_decide_about_precision() -> None:
    warp = MonoNphmWarp(network(made_up_layers()), frame(0.5), frame(0.1), torch.eye(4))
    found = warp(some_points().float())
    assert found.canonical.dtype == found.jacobian.dtype == torch.float32
    assert not found.canonical.requires_grad and not found.jacobian.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(warp(some_points().float()).jacobian, found.jacobian)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w, b: w.pop(), "found 6 layers, expected 7"),
        (lambda w, b: w.__setitem__(3, w[3][:, 1:]), "layer 3: found .* expected 21 inputs"),
        (lambda w, b: b.__setitem__(2, b[2][1:]), "layer 2: found .* 7 biases"),
        (lambda w, b: (w.__setitem__(6, w[6][:2]), b.__setitem__(6, b[6][:2])), "layer 6: .* at least 3 outputs"),
    ],
)
def test_layers_that_do_not_fit_are_refused(change, message: str) -> None:
    made = network(made_up_layers())
    layers = made_up_layers()
    weights = [layers[f"defDeepSDF.lin{index}.weight"] for index in range(7)]
    biases = [layers[f"defDeepSDF.lin{index}.bias"] for index in range(7)]
    change(weights, biases)
    with pytest.raises(ValueError, match=message):
        DeformationNetwork(weights, biases)
    assert made.num_inputs == 3 + GEO + EXP


def test_frames_move_to_the_points_device_and_type() -> None:
    assert replace(frame(0.1)).to(torch.zeros(1)).code.dtype == torch.float32


def test_their_sizes_fit(tmp_path: Path) -> None:
    """512 + 100 codes, 400 units: 615 inputs, and 1015 of layer 3."""
    layers = made_up_layers(512, 100, 400, 3)
    assert layers["defDeepSDF.lin3.weight"].shape == (400, 1015)
    assert network(layers, torch.float32).num_inputs == 615
