"""The checks of shapes are on while tests run, and they see every module that they can."""

from __future__ import annotations

import jaxtyping
import pytest
import torch

from sage_ns.geometry.rotations import quaternion_to_matrix
from tests.shapes import CHECKED_ROOMS, checked_modules


def test_a_wrong_shape_is_caught() -> None:
    assert quaternion_to_matrix(torch.tensor([[1.0, 0.0, 0.0, 0.0]])).shape == (1, 3, 3)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"\*batch 4|4"):
        quaternion_to_matrix(torch.zeros(2, 3))


def test_every_checked_room_has_modules() -> None:
    found = {name.split(".")[1] for name in checked_modules()}
    assert found == set(CHECKED_ROOMS)
    assert "sage_ns.geometry.rotations" in checked_modules()
    assert not [name for name in checked_modules() if "_numba" in name.rpartition(".")[2]]
