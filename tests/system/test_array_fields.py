"""Fields of a file: values that no array should hold are refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from sage_ns.errors import SageError
from sage_ns.system.array_fields import ArrayFields, encode_texts


def fields(value: Any) -> ArrayFields:
    return ArrayFields("x.npz", {"a": value}, SageError, "Write it again.")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([np.inf]), "values in inf..inf, expected integers of 64 bits"),
        (np.array([np.nan]), "type float64, expected integers"),
        (np.array([1e300]), "values in .*expected integers of 64 bits"),
        (np.array([2**64 - 1], dtype=np.uint64), "values in .*expected integers of 64 bits"),
        (np.array([0.5]), "type float64, expected integers"),
        (np.array(["1"]), "type <U1, expected integers"),
        ([[1], [2, 3]], "an unreadable entry"),
    ],
)
def test_indices_that_are_none(value: Any, message: str) -> None:
    with pytest.raises(SageError, match=rf"^x\.npz: 'a': found {message}.*Write it again\."):
        fields(value).indices("a", "n")


def test_indices_at_the_ends_of_their_range() -> None:
    ids = np.array([-(2**63), 2**63 - 1, 2**53 + 1])
    assert fields(ids).indices("a", "n").tolist() == ids.tolist()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("5 num_vertices", r"a sparse matrix of shape \[5, 1000000000\], 37.3 GiB, expected at most 1 GiB"),
        ("5 3", r"shape \[5, 1000000000\], expected shape \[5, 3\]"),
        ("n", r"shape \[5, 1000000000\], expected shape \[n\]"),
    ],
)
def test_wide_sparse_matrices_are_not_filled_in(shape: str, message: str) -> None:
    matrix = sparse.csr_matrix((5, 10**9))
    with pytest.raises(SageError, match=rf"^x\.npz: 'a': found {message}"):
        fields(matrix).floats("a", shape)


def test_texts_that_are_none() -> None:
    assert fields(encode_texts(("left eye", "nose"))).texts("a") == ("left eye", "nose")
    with pytest.raises(SageError, match=r"^x\.npz: 'a': found type int64, expected uint8"):
        fields(np.array([10**6])).texts("a")
    with pytest.raises(SageError, match=r"^x\.npz: 'a': found bytes that are no UTF-8"):
        fields(np.array([255], dtype=np.uint8)).texts("a")
