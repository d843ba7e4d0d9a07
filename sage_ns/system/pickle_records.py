"""Inert stand-ins for the objects in a pickle, and the arrays that they describe."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from scipy import sparse

from sage_ns.system.pickle_limits import MAX_CONTENT_BYTES, MAX_DEPTH, Allowance, Refused, too_large
from sage_ns.system.user_files import in_bytes

_DTYPE_CODE = re.compile(r"[<>=|]?([biufc]\d{1,2}|[SU]\d{1,6}|O8?)")
_LARGEST_SIDE = 2**31 - 1
_ENTRY_BYTES = 8


class Resolver:
    """Replaces every record in nested containers by the array that it describes.

    Parts that are shared in the pickle stay shared, and self-references are refused. `take` of the allowance is called
    before memory is taken; the size with shared parts counted at every reference must stay within the limit, too, since
    numpy copies them when it builds an array.
    """

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self._done: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()

    def __call__(self, value: Any) -> Any:
        """Return the value with arrays in place of records.

        Raises:
            Refused: A record is no array, the value refers to itself, is nested too deep, or is too large.
        """
        return self._resolved(value)[0]

    def _resolved(self, value: Any) -> tuple[Any, int]:
        if not isinstance(value, (ArrayRecord, SparseRecord, ChumpyRecord, dict, list, tuple)):
            return value, _ENTRY_BYTES + (len(value) if isinstance(value, (str, bytes)) else 0)
        key = id(value)
        if key in self._done:
            return self._done[key]
        if key in self._open:
            raise Refused("a value that contains itself")
        if len(self._open) >= MAX_DEPTH:
            raise Refused(f"values are nested deeper than {MAX_DEPTH} levels")
        self._open.add(key)
        resolved, size = self._built(value)
        self._open.discard(key)
        if size > MAX_CONTENT_BYTES:
            raise too_large()
        self._done[key] = resolved, size
        return resolved, size

    def _built(self, value: Any) -> tuple[Any, int]:
        if isinstance(value, dict):
            pairs = {key: self._resolved(item) for key, item in value.items()}
            return {key: item for key, (item, _) in pairs.items()}, sum(2 * _ENTRY_BYTES + n for _, n in pairs.values())
        if isinstance(value, (list, tuple)):
            items = [self._resolved(item) for item in value]
            return type(value)(item for item, _ in items), sum(_ENTRY_BYTES + size for _, size in items)
        array = value.resolve(self)
        return array, array.nbytes if isinstance(array, (np.ndarray, np.generic)) else array.data.nbytes


class DtypeRecord:
    """Record of a numpy dtype: its code ("f8") and byte order."""

    def __init__(self, code: str, *_flags: bool) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def resolve(self) -> np.dtype:
        """Return the dtype."""
        if not isinstance(self.code, str) or not _DTYPE_CODE.fullmatch(self.code) or self.order not in "<>=|":
            raise Refused(f"array of unsupported type {self.code!r}: only numbers, texts and object lists are read")
        return np.dtype(self.order + self.code.lstrip("<>=|"))


class ArrayRecord:
    """Record of a numpy array or scalar."""

    state: tuple = ()

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def resolve(self, resolver: Resolver) -> Any:
        """Return the array."""
        _version, shape, dtype, is_fortran, data = self.state
        if not isinstance(dtype, DtypeRecord):
            raise Refused("array without a type")
        dtype = dtype.resolve()
        order = "F" if is_fortran else "C"
        if dtype == np.object_:
            if not isinstance(data, list):
                raise Refused("refused to read bytes as objects")
            resolver.allowance.take(_ENTRY_BYTES * len(data))
            array = np.empty(len(data), dtype=object)
            array[:] = resolver(data)
            return array.reshape(shape, order=order)
        resolver.allowance.take(2 * len(data))
        raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
        return np.frombuffer(raw, dtype=dtype).reshape(shape, order=order).astype(dtype.newbyteorder("="))


class StateRecord:
    """Record of an object that keeps its state in a dict."""

    def __init__(self, *_arguments: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


class SparseRecord(StateRecord):
    """Record of a scipy sparse matrix."""

    layout = "csc"

    def resolve(self, resolver: Resolver) -> sparse.spmatrix:
        """Return the matrix, checked: scipy would read out of bounds."""
        state = resolver(self.state)
        shape = self._shape(state.get("_shape", state.get("shape")))
        resolver.allowance.take(_ENTRY_BYTES * max(shape))
        if self.layout == "coo":
            row, column = state["coords"] if "coords" in state else (state["row"], state["col"])
            return sparse.coo_matrix((state["data"], (row, column)), shape=shape)
        build = sparse.csc_matrix if self.layout == "csc" else sparse.csr_matrix
        matrix = build((state["data"], state["indices"], state["indptr"]), shape=shape)
        matrix.check_format(full_check=True)
        return matrix

    @staticmethod
    def _shape(shape: Any) -> tuple[int, int]:
        sides = tuple(int(side) for side in shape)
        if len(sides) != 2 or min(sides) < 0 or max(sides) > _LARGEST_SIDE:
            raise Refused(f"found a sparse matrix of shape {list(sides)}, expected two sides below 2^31")
        if math.prod(sides) * _ENTRY_BYTES > MAX_CONTENT_BYTES:
            raise Refused(
                f"found a sparse matrix of shape {list(sides)}, {in_bytes(math.prod(sides) * _ENTRY_BYTES)} when it is "
                f"filled in, expected at most {in_bytes(MAX_CONTENT_BYTES)}"
            )
        return sides[0], sides[1]


class CsrRecord(SparseRecord):
    """Record of a sparse matrix that is stored by rows."""

    layout = "csr"


class CooRecord(SparseRecord):
    """Record of a sparse matrix that is stored as coordinates."""

    layout = "coo"


class ChumpyRecord(StateRecord):
    """A chumpy variable holds its array as `x`; a `Select` node takes the entries `idxs` of another node `a`."""

    def resolve(self, resolver: Resolver) -> np.ndarray:
        """Return the array that the variable holds."""
        if "x" in self.state:
            return np.asarray(resolver(self.state["x"]))
        if "a" in self.state and "idxs" in self.state:
            chosen, whole = (np.asarray(resolver(self.state[name])).ravel() for name in ("idxs", "a"))
            resolver.allowance.take(len(chosen) * whole.itemsize)
            shape = resolver(self.state.get("preferred_shape"))
            return whole[chosen] if shape is None else whole[chosen].reshape(shape)
        raise Refused(f"chumpy node with the fields {sorted(map(str, self.state))}: only plain variables are read")
