"""Read pickles of arrays without running any code from them.

Head models are distributed as pickles, and loading a pickle may run any code. This reader replaces every global that a
pickle requests by an inert stand-in that only records its arguments, and builds the arrays from those records
afterwards. No code of numpy, scipy or chumpy runs while the file is read, chumpy need not be installed, and pickles of
old numpy and of Python 2 (text as latin1) load too.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from sage_ns.errors import HeadModelError

_DTYPE_CODE = re.compile(r"[<>=|]?([biufc]\d{1,2}|[SU]\d{1,6}|O8?)")
_SPARSE_NAME = re.compile(r"(csc|csr|coo)_(matrix|array)")


def load_pickle(path: Path | str) -> dict[str, Any]:
    """Load a pickled dict of arrays, numbers, texts, scipy sparse matrices, and dicts and lists of them.

    A chumpy variable is returned as the numpy array that it holds.

    Args:
        path: The pickle file.

    Raises:
        HeadModelError: The file is missing, is not a pickled dict, or holds anything but arrays.
    """
    path = Path(path)
    if not path.is_file():
        raise HeadModelError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            contents = _resolve(_ArrayUnpickler(file, encoding="latin1").load())
    except _Refused as refused:
        raise HeadModelError(f"{path}: {refused}") from None
    # a damaged pickle can raise almost any error: each opcode has its own
    except Exception as error:
        raise HeadModelError(
            f"{path}: not a readable pickle ({type(error).__name__}: {error}). "
            "The file may be truncated or of another kind: download it again."
        ) from error
    if not isinstance(contents, dict):
        raise HeadModelError(f"{path}: expected a pickled dict, found {type(contents).__name__}")
    return contents


class _Refused(Exception):
    """The pickle requests something that is not an array."""


class _Dtype:
    """Record of a numpy dtype: its code ("f8") and byte order."""

    def __init__(self, code: str, *_flags: bool) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def resolve(self) -> np.dtype:
        if not isinstance(self.code, str) or not _DTYPE_CODE.fullmatch(self.code) or self.order not in "<>=|":
            raise _Refused(f"array of unsupported type {self.code!r}: only numbers, texts and object lists are read")
        return np.dtype(self.order + self.code.lstrip("<>=|"))


class _Array:
    """Record of a numpy array or scalar."""

    state: tuple = ()

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def resolve(self) -> Any:
        _version, shape, dtype, is_fortran, data = self.state
        if not isinstance(dtype, _Dtype):
            raise _Refused("array without a type")
        dtype = dtype.resolve()
        order = "F" if is_fortran else "C"
        if dtype == np.object_:
            if not isinstance(data, list):
                raise _Refused("refused to read bytes as objects")
            array = np.empty(len(data), dtype=object)
            array[:] = [_resolve(item) for item in data]
            return array.reshape(shape, order=order)
        raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
        return np.frombuffer(raw, dtype=dtype).reshape(shape, order=order).astype(dtype.newbyteorder("="))


class _State:
    """Record of an object that keeps its state in a dict."""

    def __init__(self, *_arguments: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


class _Sparse(_State):
    layout = "csc"

    def resolve(self) -> sparse.spmatrix:
        state = {key: _resolve(value) for key, value in self.state.items()}
        shape = state.get("_shape", state.get("shape"))
        if self.layout == "coo":
            row, column = state["coords"] if "coords" in state else (state["row"], state["col"])
            return sparse.coo_matrix((state["data"], (row, column)), shape=shape)
        build = sparse.csc_matrix if self.layout == "csc" else sparse.csr_matrix
        matrix = build((state["data"], state["indices"], state["indptr"]), shape=shape)
        matrix.check_format(full_check=True)  # scipy reads out of bounds otherwise
        return matrix


class _CsrSparse(_Sparse):
    layout = "csr"


class _CooSparse(_Sparse):
    layout = "coo"


class _Chumpy(_State):
    """A chumpy variable holds its array as `x`; a `Select` node takes the entries `idxs` of another node `a`."""

    def resolve(self) -> np.ndarray:
        if "x" in self.state:
            return np.asarray(_resolve(self.state["x"]))
        if "a" in self.state and "idxs" in self.state:
            chosen = np.asarray(_resolve(self.state["a"])).ravel()[np.asarray(_resolve(self.state["idxs"])).ravel()]
            shape = _resolve(self.state.get("preferred_shape"))
            return chosen if shape is None else chosen.reshape(shape)
        raise _Refused(f"chumpy node with the fields {sorted(map(str, self.state))}: only plain variables are read")


_SPARSE = {"csc": _Sparse, "csr": _CsrSparse, "coo": _CooSparse}


def _new_array(*_arguments: Any) -> _Array:
    return _Array()


def _scalar(dtype: Any, data: bytes | str = b"") -> _Array:
    scalar = _Array()
    scalar.state = (1, (), dtype, False, data)
    return scalar


def _array_from_buffer(buffer: Any, dtype: Any, shape: tuple, order: str) -> _Array:
    array = _Array()
    array.state = (1, shape, dtype, order == "F", buffer)
    return array


def _latin1_bytes(text: str, encoding: str = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused(f"refused to encode text as {encoding!r}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    return b""


def _reconstructed(kind: Any, *_base_and_state: Any) -> _State:
    if not (isinstance(kind, type) and issubclass(kind, _State)):
        raise _Refused(f"refused to reconstruct {kind!r}")
    return kind()


_CONTAINERS = (dict, list, tuple, set, object)  # chumpy variables carry a set of names

_STAND_INS: dict[tuple[str, str], Callable] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _new_array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array_from_buffer for core in ("core", "_core")},
    **{(codecs, "encode"): _latin1_bytes for codecs in ("_codecs", "codecs")},
    **{(copyreg, "_reconstructor"): _reconstructed for copyreg in ("copy_reg", "copyreg")},
    **{(builtins, "bytes"): _empty_bytes for builtins in ("builtins", "__builtin__")},
    **{(builtins, t.__name__): t for builtins in ("builtins", "__builtin__") for t in _CONTAINERS},
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _STAND_INS:
            return _STAND_INS[module, name]
        package = module.partition(".")[0]
        if package == "chumpy":
            return _Chumpy
        if (module + ".").startswith("scipy.sparse.") and (match := _SPARSE_NAME.fullmatch(name)):
            return _SPARSE[match[1]]
        raise _Refused(
            f"refused to load '{module}.{name}': this pickle holds more than arrays and could run code. "
            "Use the file as its authors publish it."
        )


def _resolve(value: Any) -> Any:
    """Replace every record in nested containers by the array that it describes."""
    if isinstance(value, (_Array, _Sparse, _Chumpy)):
        return value.resolve()
    if isinstance(value, dict):
        return {key: _resolve(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_resolve(item) for item in value)
    return value
