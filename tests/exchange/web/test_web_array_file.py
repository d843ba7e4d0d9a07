from __future__ import annotations

import numpy as np
import pytest

from sage_ns.exchange.web.array_file import array_file
from tests.exchange.web.array_files import read_arrays


def test_what_is_written_is_read() -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "a.means": rng.normal(size=(5, 3)).astype(np.float32),
        "a.half": rng.normal(size=7).astype(np.float16),
        "a.levels": rng.integers(-9, 9, (3, 1, 2)).astype(np.int16),
        "b.none": np.zeros((0, 4), np.uint32),
        "b.flags": np.ones(3, np.uint8),
    }
    header, read = read_arrays(array_file({"name": "jürgen", "list": [1, 2.5]}, arrays))
    assert header == {"name": "jürgen", "list": [1, 2.5]}
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_types_that_javascript_lacks_are_refused() -> None:
    with pytest.raises(TypeError, match="'x' is float64"):
        array_file({}, {"x": np.zeros(3)})
