"""Shape network: from matrix and scalar to rotation and scales, and its pre-training target."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sage_ns.avatar.shape_network import SMALLEST_RATIO, ShapeNetwork, SurfelShape
from sage_ns.geometry import quaternion_to_matrix
from sage_ns.geometry.symmetric_eigen import lower_triangle
from sage_ns.system.parallel import cores_for_kernels

SPACING = 0.002


def shape_of(matrix: Tensor, scalar: float = 0.0) -> SurfelShape:
    lower = lower_triangle(matrix)
    return ShapeNetwork(4, typical_scale=SPACING).to(matrix.dtype).shape_of(lower, torch.full_like(lower[:, 0], scalar))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_larger_eigenvalue_gets_the_smaller_scale(dtype: torch.dtype):
    # |eigenvalues| 4 along y, 2 along x, 0 along z: half as long along y, normal z.
    shape = shape_of(torch.diag(torch.tensor([2.0, -4.0, 0.0], dtype=dtype))[None])
    rotation = quaternion_to_matrix(shape.quaternions)[0]
    torch.testing.assert_close(rotation.abs(), torch.eye(3, dtype=dtype)[[1, 0, 2]])
    torch.testing.assert_close(shape.scales, SPACING * torch.tensor([[0.5, 1.0]], dtype=dtype))
    torch.testing.assert_close(shape.flatness, torch.zeros(1, dtype=dtype))


def test_shape_ignores_the_magnitude_of_the_matrix_and_follows_the_scalar():
    matrix = torch.diag(torch.tensor([1.0, 0.6, 0.3]))[None]
    shape, scaled, larger = shape_of(matrix), shape_of(-7 * matrix), shape_of(matrix, scalar=0.1)
    torch.testing.assert_close(scaled.scales, shape.scales)
    torch.testing.assert_close(scaled.flatness, torch.tensor([0.3]))
    torch.testing.assert_close(larger.scales, shape.scales * larger.log_factor.exp())
    assert float(larger.log_factor) == pytest.approx(0.1, rel=1e-2)


def test_scales_stay_within_bounds_and_find_back():
    lower = lower_triangle(torch.diag(torch.tensor([1.0, 0.01, 0.001]))[None]).requires_grad_()
    scalar = torch.tensor([50.0], requires_grad=True)
    scales = ShapeNetwork(4, typical_scale=SPACING).shape_of(lower, scalar).scales[0]
    smaller, larger = scales.tolist()
    assert smaller / larger == pytest.approx(SMALLEST_RATIO)
    assert larger < 25 * SPACING
    (thinner,) = torch.autograd.grad(scales[0], lower, retain_graph=True)
    (rounder,) = torch.autograd.grad(-scales[0], lower)
    assert not thinner.any()
    assert rounder[0, 2] < 0  # descent raises the second eigenvalue


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_turns_with_the_matrix(dtype: torch.dtype):
    generator = torch.Generator().manual_seed(0)
    turn, start = (quaternion_to_matrix(torch.randn(20, 4, generator=generator, dtype=torch.float64)) for _ in range(2))
    spectrum = torch.diag(torch.tensor([1.5, -0.8, 0.2], dtype=torch.float64))
    matrix = start @ spectrum @ start.mT
    shape, turned = shape_of(matrix.to(dtype)), shape_of((turn @ matrix @ turn.mT).to(dtype))
    torch.testing.assert_close(turned.scales, shape.scales, rtol=1e-5, atol=1e-8)
    expected, found = turn.to(dtype) @ quaternion_to_matrix(shape.quaternions), quaternion_to_matrix(turned.quaternions)
    torch.testing.assert_close((expected * found).sum(-2).abs(), torch.ones(20, 3, dtype=dtype), rtol=0, atol=1e-5)


def test_gradients_agree_with_finite_differences():
    network = ShapeNetwork(4, typical_scale=SPACING).double()
    torch.manual_seed(1)
    for head in ("heads.0.weight", "heads.1.weight"):
        torch.nn.init.normal_(network.network.get_parameter(head), std=0.3)
    encoding, position = torch.randn(2, 4).double().requires_grad_(), torch.rand(2, 3).double().requires_grad_()

    def outputs(encoding: Tensor, position: Tensor) -> tuple[Tensor, ...]:
        shape = network(encoding, position)
        return shape.quaternions, shape.scales / SPACING, shape.flatness

    assert torch.autograd.gradcheck(outputs, (encoding, position), rtol=1e-3, atol=1e-4)


def test_new_network_has_finite_gradients_and_its_typical_scale():
    network = ShapeNetwork(4, typical_scale=SPACING)
    with cores_for_kernels():
        shape = network(torch.zeros(3, 4), torch.zeros(3, 3))
        (shape.quaternions.sum() + shape.scales.sum() + shape.flatness.sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    torch.testing.assert_close(shape.scales, torch.full((3, 2), SPACING))
    assert network.state_dict()["typical_scale"] == pytest.approx(SPACING)


def test_pretraining_reaches_given_normals_and_sizes():
    torch.manual_seed(0)
    network = ShapeNetwork(4, typical_scale=SPACING)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    normals = torch.nn.functional.normalize(torch.randn(400, 3), dim=-1)
    sizes = SPACING * torch.linspace(0.5, 2.0, 400)
    encoding = torch.stack((sizes / SPACING, *normals.square().T), dim=-1)
    with cores_for_kernels():
        for _ in range(300):
            optimizer.zero_grad()
            network.target_loss(network(encoding, normals), normals, sizes).backward()
            optimizer.step()
        with torch.no_grad():
            shape = network(encoding, normals)
    agreement = (quaternion_to_matrix(shape.quaternions)[..., 2] * normals).sum(-1).abs()
    assert float(agreement.mean()) > 0.99
    assert float(shape.flatness.mean()) < 0.1
    assert float((shape.scales[:, 1] / sizes).log().abs().mean()) < 0.1


def test_target_is_met_by_the_projection_onto_the_tangent_plane():
    normals = torch.nn.functional.normalize(torch.randn(10, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    matrix = torch.eye(3) - normals[:, :, None] * normals[:, None, :]
    network = ShapeNetwork(4, typical_scale=SPACING)
    shape = network.shape_of(lower_triangle(matrix), torch.zeros(10))
    assert float(network.target_loss(shape, -normals, torch.full((10,), SPACING))) == pytest.approx(0.0, abs=1e-10)
    torch.testing.assert_close(shape.scales, torch.full((10, 2), SPACING), rtol=1e-4, atol=0)
