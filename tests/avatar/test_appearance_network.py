"""Canonical appearance: colours of a new network, and equal colours of surfels that store its output."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from sage_ns.avatar.appearance_network import INITIAL_OPACITY, Appearance, AppearanceNetwork, radiance
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.geometry import TriangleFrames
from sage_ns.geometry.spherical_harmonics import sh_basis
from sage_ns.system.parallel import cores_for_kernels


def inputs(num: int, num_features: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.rand(num, 3, generator=generator) * 2 - 1,
        normalize(torch.randn(num, 3, generator=generator), dim=-1),
        torch.randn(num, num_features, generator=generator),
    )


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_new_network_is_grey_from_all_sides(degree: int):
    torch.manual_seed(0)
    appearance = AppearanceNetwork(7, degree)(*inputs(50))
    assert appearance.sh.shape == (50, (degree + 1) ** 2, 3)
    assert not appearance.sh[:, 1:].any()
    directions = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(radiance(appearance, directions), torch.full((50, 3), 0.5), rtol=0, atol=0.1)
    opacities = torch.sigmoid(appearance.opacity_logits)
    torch.testing.assert_close(opacities, torch.full((50,), INITIAL_OPACITY), rtol=0, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_radiance_is_the_sum_of_harmonics(dtype: torch.dtype):
    generator = torch.Generator().manual_seed(2)
    sh = torch.randn(40, 9, 3, generator=generator).to(dtype)
    directions = torch.randn(40, 3, generator=generator).to(dtype)
    expected = torch.einsum("nk,nkc->nc", sh_basis(normalize(directions, dim=-1), 9), sh) + 0.5
    found = radiance(Appearance(sh, sh[:, 0, 0]), directions)
    torch.testing.assert_close(found, expected.clamp(min=0))
    assert (expected < 0).any()


def test_surfels_that_store_the_harmonics_look_the_same():
    torch.manual_seed(0)
    network, num = AppearanceNetwork(7, 3), 60
    torch.nn.init.normal_(network.get_parameter("network.heads.0.weight"), std=0.3)
    appearance = network(*inputs(num))
    generator = torch.Generator().manual_seed(3)
    surfels = BoundSurfels(
        torch.arange(num) % 4,
        torch.randn(num, 3, generator=generator),
        torch.randn(num, 4, generator=generator),
        torch.zeros(num, 2),
        appearance.opacity_logits.detach(),
        appearance.sh[:, :1].detach(),
        appearance.sh[:, 1:].detach(),
    )
    frames = TriangleFrames(torch.randn(4, 3, generator=generator), torch.eye(3).expand(4, 3, 3), torch.ones(4))
    camera_center = torch.tensor([0.3, 0.1, 5.0])
    placed = surfels.place(frames, camera_center)
    seen = radiance(appearance, placed.means - camera_center)
    torch.testing.assert_close(placed.colors, seen, rtol=0, atol=1e-6)
    torch.testing.assert_close(placed.opacities, torch.sigmoid(appearance.opacity_logits))


def test_gradients_reach_inputs_and_every_parameter():
    network, leaves = AppearanceNetwork(7, 2), [tensor.requires_grad_() for tensor in inputs(30)]
    with cores_for_kernels():
        appearance = network(*leaves)
        colors = radiance(appearance, torch.randn(30, 3, generator=torch.Generator().manual_seed(1)))
        (colors.square().sum() + appearance.opacity_logits.sum()).backward()
    for tensor in (*leaves, *network.parameters()):
        assert tensor.grad is not None and tensor.grad.isfinite().all() and tensor.grad.any()


def test_other_degrees_are_refused():
    with pytest.raises(ValueError, match="degree 4"):
        AppearanceNetwork(7, 4)
