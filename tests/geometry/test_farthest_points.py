from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sage_ns.geometry.farthest_points import farthest_first

LINE = torch.tensor([0.0, 1.0, 2.0, 6.0, 10.0])


def from_row(row: int) -> Tensor:
    return (LINE - LINE[row]).abs()


@pytest.mark.parametrize(("first", "order"), [(0, (0, 4, 3, 2, 1)), (2, (2, 4, 3, 0, 1))])
def test_points_on_a_line(first: int, order: tuple[int, ...]) -> None:
    # From 0: 10 is farthest; then 6 (4 away from 10), 2 and 1. From 2: 10 (8 away), 6 (4), 0 (2), 1.
    for count in range(1, 6):
        assert farthest_first(first, count, from_row) == order[:count]


def test_of_equally_far_points_the_first_is_chosen() -> None:
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert farthest_first(0, 4, lambda row: (corners - corners[row]).norm(dim=-1)) == (0, 3, 1, 2)


def test_equal_points_are_chosen_once() -> None:
    assert sorted(farthest_first(1, 3, lambda _: torch.zeros(3))) == [0, 1, 2]


def test_more_than_there_are() -> None:
    with pytest.raises(ValueError, match="count is 6; there are 5"):
        farthest_first(0, 6, from_row)


def test_it_ends_when_every_point_is_near_a_chosen_one() -> None:
    line = torch.arange(11.0)
    chosen = farthest_first(0, 11, lambda index: (line - line[index]).abs(), near=2.5)
    assert chosen == (0, 10, 5)
    gaps = (line[:, None] - line[list(chosen)]).abs().amin(dim=1)
    assert float(gaps.max()) <= 2.5
