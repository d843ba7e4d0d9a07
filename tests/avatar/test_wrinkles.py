from __future__ import annotations

import torch

from sage_ns.avatar.wrinkles import wrinkle_shade

SQUARE = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
TRIANGLES = torch.tensor([[0, 1, 2], [0, 2, 3], [1, 1, 2]])
SKIN = torch.ones(3, dtype=torch.bool)


def test_skin_that_loses_a_third_of_its_area_darkens_by_a_third_of_the_strength() -> None:
    pushed = SQUARE * torch.tensor([2 / 3, 1.0, 1.0])
    shade = wrinkle_shade(SQUARE, pushed, TRIANGLES, SKIN, 0.3)
    torch.testing.assert_close(shade[:2], torch.full((2,), 0.9))
    assert shade[2] == 1.0, "a triangle without area keeps its colour"


def test_stretched_resting_and_other_skin_keep_their_colour() -> None:
    assert (wrinkle_shade(SQUARE, 1.5 * SQUARE, TRIANGLES, SKIN, 0.3) == 1).all()
    assert (wrinkle_shade(SQUARE, SQUARE, TRIANGLES, SKIN, 0.3) == 1).all()
    assert (wrinkle_shade(SQUARE, 0.5 * SQUARE, TRIANGLES, ~SKIN, 0.3) == 1).all()
    assert (wrinkle_shade(SQUARE, 0.5 * SQUARE, TRIANGLES, SKIN, 0.0) == 1).all()
