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
from io import BytesIO
from pathlib import Path
from types import MethodType
from typing import Any

from sage_ns.errors import HeadModelError
from sage_ns.system.pickle_limits import MAX_PICKLE_BYTES, Allowance, Refused, check_opcodes
from sage_ns.system.pickle_records import (
    ArrayRecord,
    ChumpyRecord,
    CooRecord,
    CsrRecord,
    DtypeRecord,
    Resolver,
    SparseRecord,
    StateRecord,
)
from sage_ns.system.user_files import read_bytes

_SPARSE_NAME = re.compile(r"(csc|csr|coo)_(matrix|array)")


def load_pickle(path: Path | str) -> dict[str, Any]:
    """Load a pickled dict of arrays, numbers, texts, scipy sparse matrices, and dicts and lists of them.

    A chumpy variable is returned as the numpy array that it holds.

    Args:
        path: The pickle file.

    Raises:
        HeadModelError: The file is missing, is not a regular file or not a pickled dict, holds anything but arrays, or
            takes more than the limits of `sage_ns.system.pickle_limits`.
    """
    return unpickle(read_bytes(path, HeadModelError, MAX_PICKLE_BYTES), str(path))


def unpickle(pickled: bytes, source: str) -> dict[str, Any]:
    """Do as `load_pickle` with a pickle that has been read.

    Args:
        pickled: The pickle.
        source: Name of its file in error messages.

    Raises:
        HeadModelError: As `load_pickle`.
    """
    allowance = Allowance()
    try:
        check_opcodes(pickled)
        contents = Resolver(allowance)(_ArrayUnpickler(pickled, allowance).load())
    except Refused as refused:
        raise HeadModelError(f"{source}: {refused}") from None
    # a damaged pickle can raise almost any error: each opcode has its own
    except Exception as error:
        raise HeadModelError(
            f"{source}: not a readable pickle ({type(error).__name__}: {error}). "
            "The file may be truncated or of another kind: download it again."
        ) from error
    if not isinstance(contents, dict):
        raise HeadModelError(f"{source}: expected a pickled dict, found {type(contents).__name__}")
    return contents


class _StandIns:
    """What a pickle gets in place of the globals that it requests: methods of an object that lives as long as loading.

    A pickle may set attributes of what it is given; methods have none.
    """

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance

    def new_array(self, *_arguments: Any) -> ArrayRecord:
        return ArrayRecord()

    def scalar(self, dtype: Any, data: bytes | str = b"") -> ArrayRecord:
        return self.array_from_buffer(data, dtype, (), "C")

    def array_from_buffer(self, buffer: Any, dtype: Any, shape: tuple, order: str) -> ArrayRecord:
        array = ArrayRecord()
        array.state = (1, shape, dtype, order == "F", buffer)
        return array

    def latin1_bytes(self, text: str, encoding: str = "latin1") -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise Refused(f"refused to encode text as {encoding!r}")
        self.allowance.take(len(text))
        return text.encode("latin1")

    def empty_bytes(self) -> bytes:
        return b""

    def reconstructed(self, kind: Any, *_base_and_state: Any) -> StateRecord:
        if not (isinstance(kind, type) and issubclass(kind, StateRecord)):
            raise Refused(f"refused to reconstruct {kind!r}")
        return kind()

    def new_dict(self, *contents: Any) -> dict:
        return dict(*self._counted(contents))

    def new_list(self, *contents: Any) -> list:
        return list(*self._counted(contents))

    def new_tuple(self, *contents: Any) -> tuple:
        return tuple(*self._counted(contents))

    def new_set(self, *contents: Any) -> set:
        return set(*self._counted(contents))

    def _counted(self, contents: tuple) -> tuple:
        for each in contents:
            if not isinstance(each, (list, tuple, set, dict)):
                raise Refused(f"refused to make a container of a {type(each).__name__}")
            self.allowance.take(_ITEM_BYTES * len(each))
        return contents


_ITEM_BYTES = 64
"""Memory of one item of a container; a dict's takes the most."""
_CLASSES: dict[tuple[str, str], type] = {
    ("numpy", "ndarray"): ArrayRecord,
    ("numpy", "dtype"): DtypeRecord,
    **{(builtins, "object"): object for builtins in ("builtins", "__builtin__")},
}
_FUNCTIONS: dict[tuple[str, str], Callable] = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _StandIns.new_array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _StandIns.scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _StandIns.array_from_buffer for core in ("core", "_core")},
    **{(codecs, "encode"): _StandIns.latin1_bytes for codecs in ("_codecs", "codecs")},
    **{(copyreg, "_reconstructor"): _StandIns.reconstructed for copyreg in ("copy_reg", "copyreg")},
    **{(builtins, "bytes"): _StandIns.empty_bytes for builtins in ("builtins", "__builtin__")},
    **{
        (builtins, kind): method
        for builtins in ("builtins", "__builtin__")
        for kind, method in (
            ("dict", _StandIns.new_dict),
            ("list", _StandIns.new_list),
            ("tuple", _StandIns.new_tuple),
            ("set", _StandIns.new_set),  # chumpy variables carry a set of names
        )
    },
}
_SPARSE = {"csc": SparseRecord, "csr": CsrRecord, "coo": CooRecord}


class _ArrayUnpickler(pickle.Unpickler):
    def __init__(self, pickled: bytes, allowance: Allowance) -> None:
        super().__init__(BytesIO(pickled), encoding="latin1")
        self._stand_ins = _StandIns(allowance)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _CLASSES:
            return _CLASSES[module, name]
        if (module, name) in _FUNCTIONS:
            return MethodType(_FUNCTIONS[module, name], self._stand_ins)
        package = module.partition(".")[0]
        if package == "chumpy":
            return ChumpyRecord
        if (module + ".").startswith("scipy.sparse.") and (match := _SPARSE_NAME.fullmatch(name)):
            return _SPARSE[match[1]]
        raise Refused(
            f"refused to load '{module}.{name}': this pickle holds more than arrays and could run code. "
            "Use the file as its authors publish it."
        )
