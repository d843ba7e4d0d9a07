"""Small tensors on their way to a device, and masks whose rows cannot be counted there."""

from __future__ import annotations

import pytest
import torch

from sage_ns.system.devices import kept_rows, sent


def test_what_is_sent_arrives() -> None:
    values = torch.rand(5)
    assert torch.equal(sent(values, "cpu"), values)


def test_the_cpu_keeps_the_valid_rows_alone() -> None:
    valid, values = torch.tensor([True, False, True]), torch.tensor([1.0, 2.0, 3.0])
    assert values[kept_rows(valid)].tolist() == [1.0, 3.0]


@pytest.mark.gpu
def test_a_device_keeps_all_rows() -> None:
    valid = torch.tensor([True, False], device="cuda")
    assert len(valid[kept_rows(valid)]) == 2
