"""Laying one surface onto another: known similarities, other people, and scales that are wrong."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sage_ns.geometry import axis_angle_to_matrix
from sage_ns.geometry.icp import register_surface
from tests.geometry.bumpy import bumpy_head

HEAD, TRIANGLES = bumpy_head(3)


def moved(vertices: Tensor, scale: float, axis: tuple[float, float, float]) -> Tensor:
    turn = axis_angle_to_matrix(torch.tensor(axis, dtype=torch.float64))
    return scale * vertices @ turn.T + torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)


@pytest.mark.parametrize(("scale", "axis"), [(0.05, (0.3, 1.2, -0.4))])
def test_the_same_surface_is_found_again_from_any_place_turn_and_size(
    scale: float, axis: tuple[float, float, float]
) -> None:
    """A file that is 5 % too large is one of these: the similarity takes the error out."""
    found = register_surface(moved(HEAD, scale, axis), TRIANGLES, HEAD, TRIANGLES)
    assert abs(found.moved.scale * scale - 1) < 1e-6 and found.residual < 1e-7
    torch.testing.assert_close(found.moved(moved(HEAD, scale, axis)), HEAD, atol=1e-6, rtol=0)


def test_only_important_triangles_decide_where_the_surfaces_differ() -> None:
    """Hair: the back of the other head is 2 cm thicker."""
    thick = HEAD.clone()
    thick[HEAD[:, 2] < -0.02] *= 1.25
    face = (HEAD[TRIANGLES][..., 2] > 0.0).all(dim=-1)
    found = register_surface(moved(thick, 2.0, (0.2, 0.1, 0.0)), TRIANGLES, HEAD, TRIANGLES, face)
    assert abs(2 * found.moved.scale - 1) < 1e-4 and found.residual < 1e-5
    front = HEAD[:, 2] > 0
    torch.testing.assert_close(found.moved(moved(thick, 2.0, (0.2, 0.1, 0.0)))[front], HEAD[front], atol=1e-4, rtol=0)
