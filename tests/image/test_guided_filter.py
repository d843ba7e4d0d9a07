"""The guided filter."""

from __future__ import annotations

import numpy as np

from sage_ns.image.guided_filter import guided_filter


def test_values_that_are_a_line_of_the_guide_stay() -> None:
    guide = np.random.default_rng(0).uniform(size=(20, 30))
    np.testing.assert_allclose(guided_filter(0.3 + 0.5 * guide, guide, 3, 1e-9), 0.3 + 0.5 * guide, atol=1e-6)


def test_a_border_moves_to_the_edge_of_the_guide() -> None:
    guide = np.zeros((40, 40))
    guide[:, 20:] = 1.0
    values = np.zeros((40, 40))
    values[:, 18:] = 1.0
    found = guided_filter(values, guide, 4, 1e-4)
    assert found[20, 21:].min() > 0.9
    assert found[20, 18:20].max() < 0.65 and found[20, :10].max() < 0.01
