"""Values cached by motion: by its numbers on the CPU, by its place in memory elsewhere."""

from __future__ import annotations

from collections.abc import Hashable

import pytest
import torch
from torch import Tensor

from sage_ns.avatar import kept as module
from sage_ns.avatar.kept import KeptByMotion, StoredMotion, motion_key, requires_gradients


@pytest.fixture(params=["cpu", "device"])
def values(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> KeptByMotion[list[float]]:
    """With the key of motions on the CPU, and with that of motions on a device."""
    if request.param == "device":
        monkeypatch.setattr(module, "motion_key", StoredMotion)
    return KeptByMotion(2)


def test_views_of_one_row_are_one_motion(values: KeptByMotion[list[float]]) -> None:
    rows = torch.rand(3, 5)
    first = values.get(rows[1], lambda: [1.0])
    assert values.get(rows[1], lambda: [2.0]) is first
    assert values.get(rows[torch.tensor(1)].detach(), lambda: [3.0]) is first
    assert values.get(rows[2], lambda: [4.0]) == [4.0]


def test_a_row_that_was_written_to_is_another_motion(values: KeptByMotion[list[float]]) -> None:
    rows = torch.zeros(2, 3)
    values.get(rows[0], lambda: [1.0])
    rows[0, 1] += 0.5
    assert values.get(rows[0], lambda: [2.0]) == [2.0]


def test_freed_memory_is_not_taken_for_the_old_motion(values: KeptByMotion[list[float]]) -> None:
    """A new tensor gets the memory of a freed one of the same size, unless a key holds it."""
    for number in range(5):
        assert values.get(torch.full((6,), float(number)), lambda number=number: [number]) == [number]


def test_the_oldest_go_first_and_clear_drops_all(values: KeptByMotion[list[float]]) -> None:
    rows = torch.rand(3, 5)
    first = values.get(rows[0], lambda: [0.0])
    values.get(rows[1], lambda: [1.0])
    assert values.get(rows[0], lambda: [9.0]) is first
    values.get(rows[2], lambda: [2.0])
    assert len(values) == 2
    assert values.get(rows[0], lambda: [9.0]) is first and values.get(rows[1], lambda: [9.0]) == [9.0]
    values.clear()
    assert len(values) == 0


def test_a_value_with_gradients_is_never_kept(values: KeptByMotion[list[float]]) -> None:
    motion = torch.rand(4, requires_grad=True)
    assert [values.get(motion, lambda i=i: [i]) for i in (1.0, 2.0)] == [[1.0], [2.0]] and len(values) == 0
    with torch.no_grad():
        assert [values.get(motion, lambda i=i: [i]) for i in (1.0, 2.0)] == [[1.0], [1.0]]


def test_kept_values_are_made_without_gradients() -> None:
    learned = torch.rand(2, requires_grad=True)
    values: KeptByMotion[Tensor] = KeptByMotion(1)
    assert not values.get(torch.zeros(3), lambda: 2 * learned).requires_grad


def test_equal_motions_in_different_tensors_are_one_on_the_cpu() -> None:
    motion = torch.rand(4)
    assert motion_key(motion) == motion_key(motion.clone()) != motion_key(motion + 1)


def test_places_differ_by_size_type_and_version_and_hold_no_graph() -> None:
    motion = torch.rand(6, requires_grad=True)
    key: Hashable = StoredMotion(motion * 1)
    assert key != StoredMotion(motion) == StoredMotion(motion.detach()) != "motion"
    assert StoredMotion(motion) != StoredMotion(motion[:5])
    assert StoredMotion(motion.view(torch.int32)) != StoredMotion(motion)
    assert not StoredMotion(motion)._held.requires_grad
    with torch.inference_mode():
        unversioned = torch.rand(3)
    assert StoredMotion(unversioned) != StoredMotion(unversioned)


@pytest.mark.gpu
def test_a_motion_on_a_device_is_kept_by_its_place() -> None:
    motion = torch.rand(4, device="cuda")
    assert isinstance(motion_key(motion), StoredMotion)


def test_gradients_are_required_only_in_grad_mode() -> None:
    plain, learned = torch.zeros(1), torch.zeros(1, requires_grad=True)
    assert requires_gradients(plain, None, learned) and not requires_gradients(plain, None)
    with torch.no_grad():
        assert not requires_gradients(learned)
