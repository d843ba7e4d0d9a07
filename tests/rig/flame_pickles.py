"""Pickles of head models in FLAME's format, in the variants that exist."""

from __future__ import annotations

import pickle
import struct
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse

from sage_ns.rig import HeadModel


def flame_contents(model: HeadModel) -> dict[str, Any]:
    """A head model under FLAME's keys, as float64 with unsigned triangles and root 2^32 - 1."""
    parents = model.parents.numpy().copy()
    parents[0] = 2**32 - 1
    return {
        "v_template": model.v_template.double().numpy(),
        "shapedirs": torch.cat([model.shape_basis, model.expression_basis], dim=-1).double().numpy(),
        "posedirs": model.pose_basis.T.reshape(model.num_vertices, 3, 36).double().numpy(),
        "J_regressor": model.joint_regressor.double().numpy(),
        "weights": model.skinning_weights.double().numpy(),
        "kintree_table": np.stack([parents, np.arange(5)]).astype(np.int64),
        "f": model.triangles.numpy().astype(np.uint32),
        "J": np.zeros((5, 3)),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def plain(contents: dict[str, Any]) -> bytes:
    return pickle.dumps(contents, protocol=4)


def newest_protocol(contents: dict[str, Any]) -> bytes:
    return pickle.dumps(contents, protocol=5)


def text_protocol(contents: dict[str, Any]) -> bytes:
    return pickle.dumps(contents, protocol=0)


def numpy_2(contents: dict[str, Any]) -> bytes:
    return pickle.dumps(contents, protocol=2).replace(b"cnumpy.core.", b"cnumpy._core.")


def sparse_regressor(contents: dict[str, Any]) -> bytes:
    return pickle.dumps(contents | {"J_regressor": sparse.csc_matrix(contents["J_regressor"])}, protocol=4)


def csr_regressor(contents: dict[str, Any]) -> bytes:
    return pickle.dumps(contents | {"J_regressor": sparse.csr_matrix(contents["J_regressor"])}, protocol=2)


def coo_regressor(contents: dict[str, Any]) -> bytes:
    return pickle.dumps(contents | {"J_regressor": sparse.coo_matrix(contents["J_regressor"])}, protocol=2)


def big_endian_and_fortran(contents: dict[str, Any]) -> bytes:
    swapped = {"v_template": contents["v_template"].astype(">f8"), "weights": np.asfortranarray(contents["weights"])}
    return pickle.dumps(contents | swapped, protocol=2)


def chumpy(contents: dict[str, Any]) -> bytes:
    """Bases as chumpy variables; the package is only faked, and only while dumping."""

    def dump(classes: dict[str, type]) -> bytes:
        wrapped = {key: classes["Ch"](x=contents[key]) for key in ("shapedirs", "v_template")}
        return pickle.dumps(contents | wrapped, protocol=2)

    return _with_fake_chumpy(dump)


def chumpy_selection(contents: dict[str, Any]) -> bytes:
    """A basis that chumpy has reordered: entries `idxs` of another variable."""

    def dump(classes: dict[str, type]) -> bytes:
        basis = contents["shapedirs"]
        backwards = np.arange(basis.size)[::-1].copy()
        whole = classes["Ch"](x=basis.ravel()[::-1].copy())
        selected = classes["Select"](a=whole, idxs=backwards, preferred_shape=basis.shape)
        return pickle.dumps(contents | {"shapedirs": selected}, protocol=2)

    return _with_fake_chumpy(dump)


def python_2(contents: dict[str, Any]) -> bytes:
    """As written by Python 2: texts and raw data as byte strings, scipy's modules under their old names."""
    buffer = BytesIO()
    _Python2Pickler(buffer, protocol=2).dump(contents | {"J_regressor": sparse.csc_matrix(contents["J_regressor"])})
    return buffer.getvalue().replace(b"cscipy.sparse._csc\n", b"cscipy.sparse.csc\n")


FLAVOURS: tuple[Callable[[dict[str, Any]], bytes], ...] = (
    *(plain, newest_protocol, text_protocol, numpy_2, big_endian_and_fortran),
    *(sparse_regressor, csr_regressor, coo_regressor, chumpy, chumpy_selection, python_2),
)


def write(path: Path, pickled: bytes) -> Path:
    path.write_bytes(pickled)
    return path


_PICKLER: Any = pickle._Pickler  # type: ignore[attr-defined]  # the one in Python: its opcodes can be changed


class _Python2Pickler(_PICKLER):
    dispatch: ClassVar[dict[type, Any]] = dict(_PICKLER.dispatch)

    def _save_string(self, text: str | bytes) -> None:
        raw = text.encode("latin1") if isinstance(text, str) else text
        short = len(raw) < 256
        self.write(
            (pickle.SHORT_BINSTRING + bytes([len(raw)]) if short else pickle.BINSTRING + struct.pack("<i", len(raw)))
            + raw
        )
        self.memoize(text)

    dispatch[bytes] = dispatch[str] = _save_string


def _with_fake_chumpy(dump: Callable[[dict[str, type]], bytes]) -> bytes:
    def initialise(self: Any, **state: Any) -> None:
        bookkeeping = {"_dirty_vars": set(state), "_itr": None, "_depends_on_deps": {}, "_make_dense": False}
        self.__dict__.update(bookkeeping | state)

    modules = {name: ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering")}
    classes = {
        name: type(name, (), {"__init__": initialise, "__module__": module})
        for name, module in (("Ch", "chumpy.ch"), ("Select", "chumpy.reordering"))
    }
    for cls in classes.values():
        setattr(modules[cls.__module__], cls.__name__, cls)
    assert not sys.modules.keys() & modules.keys(), "these tests fake chumpy and must not find it"
    sys.modules.update(modules)
    try:
        return dump(classes)
    finally:
        for name in modules:
            del sys.modules[name]
