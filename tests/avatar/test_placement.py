"""Placing surfels with their triangles: closed forms, the compiled version, gradients."""

from __future__ import annotations

import pytest
import torch

from sage_ns.avatar.placement import place_surfels, place_surfels_torch
from sage_ns.geometry import TriangleFrames, quaternion_to_matrix


def scene(num: int, num_triangles: int = 20) -> tuple[tuple[torch.Tensor, ...], torch.Tensor, TriangleFrames]:
    generator = torch.Generator().manual_seed(2)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    local = (normal(num, 3), normal(num, 4), normal(num, 2) - 1, normal(num))
    frames = TriangleFrames(
        normal(num_triangles, 3), quaternion_to_matrix(normal(num_triangles, 4)), normal(num_triangles).abs() + 0.1
    )
    return local, torch.arange(num) % num_triangles, frames


def to_float(frames: TriangleFrames) -> TriangleFrames:
    return TriangleFrames(frames.origin.float(), frames.rotation.float(), frames.scale.float())


def test_points_of_a_surfel_move_with_its_triangle():
    (means, quaternions, log_scales, logits), triangle, frames = scene(30)
    placed = place_surfels(means, quaternions, log_scales, logits, triangle, frames)
    # Any point u t_u s_u + mu of the surfel, placed, is the frame applied to that point.
    tangent = quaternion_to_matrix(quaternions)[..., 0]
    local_point = means + 0.7 * log_scales.exp()[:, :1] * tangent
    moved = (frames.rotation[triangle] @ local_point[..., None])[..., 0]
    expected = frames.scale[triangle, None] * moved + frames.origin[triangle]
    placed_tangent = quaternion_to_matrix(placed[1])[..., 0]
    torch.testing.assert_close(placed[0] + 0.7 * placed[2][:, :1] * placed_tangent, expected)
    torch.testing.assert_close(placed[1].norm(dim=-1), torch.ones(30, dtype=torch.float64))
    torch.testing.assert_close(placed[3], torch.sigmoid(logits))


def test_compiled_values_and_gradients_equal_float64_torch():
    local, triangle, frames = scene(300)
    expected_leaves = [tensor.clone().requires_grad_() for tensor in local]
    leaves = [tensor.float().requires_grad_() for tensor in local]
    expected = place_surfels_torch(*expected_leaves, triangle, frames)  # type: ignore[call-arg]
    found = place_surfels(*leaves, triangle, to_float(frames))  # type: ignore[call-arg]
    generator = torch.Generator().manual_seed(3)
    weights = [torch.randn(tensor.shape, generator=generator, dtype=torch.float64) for tensor in expected]
    for value, expected_value in zip(found, expected, strict=True):
        torch.testing.assert_close(value.double(), expected_value, rtol=1e-5, atol=1e-5)
    sum((w * v).sum() for w, v in zip(weights, expected, strict=True)).backward()  # type: ignore[union-attr]
    sum((w * v).sum() for w, v in zip(weights, found, strict=True)).backward()  # type: ignore[union-attr]
    for leaf, expected_leaf in zip(leaves, expected_leaves, strict=True):
        assert leaf.grad is not None and expected_leaf.grad is not None
        assert float((leaf.grad - expected_leaf.grad).norm() / expected_leaf.grad.norm()) < 1e-5


def test_gradient_of_the_definition_also_to_the_frames():
    local, triangle, frames = scene(4, 2)
    leaves = [tensor.requires_grad_() for tensor in (*local, frames.origin, frames.scale)]

    def place(means, quaternions, log_scales, logits, origin, scale):
        moved = TriangleFrames(origin, frames.rotation, scale)
        return place_surfels_torch(means, quaternions, log_scales, logits, triangle, moved)

    assert torch.autograd.gradcheck(place, leaves)


def test_frames_that_are_learned_receive_gradients():
    local, triangle, frames = scene(6, 3)
    frames = to_float(frames)
    frames.origin.requires_grad_()
    placed = place_surfels(*(tensor.float() for tensor in local), triangle, frames)  # type: ignore[call-arg]
    placed[0].sum().backward()
    torch.testing.assert_close(frames.origin.grad, torch.full((3, 3), 2.0))


@pytest.mark.parametrize("wrong", [-1, 20])
def test_a_triangle_that_does_not_exist_is_refused(wrong: int):
    local, triangle, frames = scene(6)
    triangle[2] = wrong
    with pytest.raises(IndexError, match="triangle"):
        place_surfels(*(tensor.float() for tensor in local), triangle, to_float(frames))  # type: ignore[call-arg]


def test_an_empty_set_of_surfels_is_placed():
    local, triangle, frames = scene(0)
    placed = place_surfels(*(tensor.float() for tensor in local), triangle, to_float(frames))  # type: ignore[call-arg]
    assert [tuple(value.shape) for value in placed] == [(0, 3), (0, 4), (0, 2), (0,)]
