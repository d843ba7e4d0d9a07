from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.bench.fingerprint import fingerprint


@dataclass
class Thing:
    size: float = 1.0
    kind: type = int


def test_equal_values_agree() -> None:
    assert fingerprint({"a": 1, "b": Thing()}) == fingerprint({"b": Thing(), "a": 1})
    assert fingerprint(torch.ones(2, 3)) == fingerprint(np.ones((2, 3), np.float32))
    assert fingerprint([1, 2]) == fingerprint((1, 2))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, 1.0),
        (1, True),
        (None, "None"),
        ("a", Path("a")),
        ([1, 2], [2, 1]),
        (["ab"], ["a", "b"]),
        ([[1], 2], [1, [2]]),
        ({"a": 1}, {"a": 2}),
        (Thing(), Thing(2.0)),
        (Thing(), Thing(kind=float)),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
        (torch.zeros(2), torch.tensor([0.0, 1e-30])),
    ],
)
def test_different_values_differ(a: object, b: object) -> None:
    assert fingerprint(a) != fingerprint(b)


def test_unsupported_types_are_refused() -> None:
    with pytest.raises(TypeError, match="generator has no fingerprint"):
        fingerprint(each for each in [1])
