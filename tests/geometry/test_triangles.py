from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sage_ns.geometry import (
    axis_angle_to_matrix,
    quaternion_to_matrix,
    triangle_areas,
    triangle_frames,
    triangle_normals,
)

ONE = torch.tensor([[0, 1, 2]])


def random_mesh(seed: int, num_triangles: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    vertices = torch.randn(3 * num_triangles, 3, generator=generator, dtype=torch.float64)
    return vertices, torch.arange(3 * num_triangles).reshape(-1, 3)


def test_frame_of_a_right_triangle_by_hand() -> None:
    vertices = torch.tensor([[0.0, 0, 0], [4, 0, 0], [0, 0, -2]])
    frames = triangle_frames(vertices, ONE)
    torch.testing.assert_close(frames.origin[0], torch.tensor([4 / 3, 0, -2 / 3]))
    # base along x, normal up, third column away from the third vertex
    torch.testing.assert_close(frames.rotation[0], torch.eye(3))
    torch.testing.assert_close(frames.scale[0], torch.tensor(3.0))
    torch.testing.assert_close(frames.normal[0], triangle_normals(vertices, ONE)[0])
    torch.testing.assert_close(triangle_areas(vertices, ONE), torch.tensor([4.0]))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_frames_follow_the_definition(seed: int) -> None:
    vertices, triangles = random_mesh(seed)
    frames = triangle_frames(vertices, triangles)
    v0, v1, v2 = vertices[triangles].unbind(1)
    a0 = torch.nn.functional.normalize(v1 - v0, dim=-1)
    n = torch.nn.functional.normalize(torch.linalg.cross(a0, v2 - v0), dim=-1)
    a2 = -torch.nn.functional.normalize(torch.linalg.cross(n, a0), dim=-1)
    scale = ((v1 - v0).norm(dim=-1) + (a2 * (v2 - v0)).sum(-1).abs()) / 2
    torch.testing.assert_close(frames.rotation, torch.stack([a0, n, a2], dim=-1), rtol=0, atol=1e-9)
    torch.testing.assert_close(frames.scale, scale)
    torch.testing.assert_close(frames.rotation.mT @ frames.rotation, torch.eye(3).double().expand(20, 3, 3))
    torch.testing.assert_close(torch.linalg.det(frames.rotation), torch.ones(20).double())
    torch.testing.assert_close(quaternion_to_matrix(frames.quaternion), frames.rotation)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), zoom=st.floats(0.01, 100))
def test_frames_move_with_the_mesh(seed: int, zoom: float) -> None:
    vertices, triangles = random_mesh(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    turn = axis_angle_to_matrix(torch.randn(3, generator=generator).double())
    shift = torch.randn(3, generator=generator).double()
    before, after = triangle_frames(vertices, triangles), triangle_frames(zoom * vertices @ turn.T + shift, triangles)
    torch.testing.assert_close(after.origin, zoom * before.origin @ turn.T + shift)
    torch.testing.assert_close(after.rotation, turn @ before.rotation, rtol=0, atol=1e-8)
    torch.testing.assert_close(after.scale, zoom * before.scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "corners",
    [
        [[1.0, 2, 3]] * 3,
        [[0.0, 0, 0], [0, 0, 0], [1, 0, 0]],
        [[0.0, 0, 0], [1, 1, 1], [2, 2, 2]],
        [[0.0, 0, 0], [1, 0, 0], [0, 0, 0]],
        [[0.0, 0, 0], [1, 0, 0], [0.3, 1e-9, 0]],
        [[0.1, 0.2, 0.3], [0.1 + 1e-4, 0.2, 0.3], [0.1, 0.2 + 1e-4, 0.3 + 1e-5]],
    ],
    ids=["point", "no base", "line", "folded", "sliver", "tiny"],
)
def test_degenerate_triangles_have_finite_orthonormal_frames(corners: list, dtype: torch.dtype) -> None:
    vertices = torch.tensor(corners, dtype=dtype, requires_grad=True)
    frames = triangle_frames(vertices, ONE)
    torch.testing.assert_close(frames.rotation.mT @ frames.rotation, torch.eye(3, dtype=dtype)[None], rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(frames.rotation), torch.ones(1, dtype=dtype))
    assert (frames.scale > 0).all()
    total = frames.rotation.sum() + frames.scale.sum() + frames.origin.sum() + frames.quaternion.sum()
    (gradient,) = torch.autograd.grad(total, vertices)
    assert gradient.isfinite().all()


def test_gradients_agree_with_finite_differences() -> None:
    vertices, triangles = random_mesh(3, num_triangles=2)

    def flat(v: torch.Tensor) -> torch.Tensor:
        frames = triangle_frames(v, triangles)
        return torch.cat([frames.origin.flatten(), frames.rotation.flatten(), frames.scale])

    assert torch.autograd.gradcheck(flat, vertices.requires_grad_())


def test_batches_and_selection() -> None:
    vertices, triangles = random_mesh(0)
    batch = torch.stack([vertices, 2 * vertices])
    frames = triangle_frames(batch, triangles)
    assert frames.rotation.shape == (2, 20, 3, 3)
    chosen = frames[torch.tensor([4, 4, 7])]
    torch.testing.assert_close(chosen.origin, frames.origin[:, [4, 4, 7]])
    torch.testing.assert_close(chosen.scale[1], 2 * chosen.scale[0])
