"""Checked access to the named arrays of a file, and atomic writing of such files."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from scipy import sparse
from torch import Tensor

from sage_ns.errors import SageError
from sage_ns.system.files import whole_file
from sage_ns.system.npz_reader import MAX_ARRAY_BYTES
from sage_ns.system.npz_reader import read_npy as read_npy
from sage_ns.system.npz_reader import read_npz as read_npz
from sage_ns.system.user_files import in_bytes

_LONGEST = 300
"""Characters of what was found in a message."""


class ArrayFields:
    """Named arrays from one file, read with checks.

    Shapes are strings like "num_vertices 3". A dimension's name gets its size from the first array that uses it; later
    arrays that use the name must have the same size.
    """

    def __init__(self, source: str, fields: Mapping[str, Any], error: type[SageError], hint: str = "") -> None:
        """Wrap the fields of a file.

        Args:
            source: Name of the file in error messages.
            fields: Arrays, sparse matrices, or values that numpy can convert to arrays, by name.
            error: Class of the errors to raise.
            hint: What the user should do; ends every error message.
        """
        self.source, self.fields, self.error, self.hint = source, fields, error, hint
        self.sizes: dict[str, int] = {}

    def __contains__(self, key: str) -> bool:
        return key in self.fields

    def floats(self, key: str, shape: str) -> Float32[Tensor, "..."]:
        """Return a field as a finite float32 array.

        Raises:
            SageError: Of the class given at construction; the field is missing, of another shape, not numeric, or not
                finite.
        """
        array = self._array(key, shape)
        if array.dtype.kind not in "fiu":
            raise self.fail(key, f"type {array.dtype}", "numbers")
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(array, dtype=np.float32)
        finite = np.isfinite(array)
        if not finite.all():
            where = tuple(int(i) for i in np.argwhere(~finite)[0])
            raise self.fail(key, f"{(~finite).sum()} non-finite values, the first at index {where}", "finite numbers")
        return torch.from_numpy(array.copy())

    def check_magnitude(self, key: str, values: Tensor, largest: float) -> None:
        """Refuse finite numbers that are too large to compute with.

        Raises:
            SageError: Of the class given at construction; a number is outside -largest..largest.
        """
        found = float(values.abs().max()) if values.numel() else 0.0
        if found > largest:
            raise self.fail(key, f"numbers up to {found:.3g}", f"numbers in -{largest:g}..{largest:g}")

    def indices(self, key: str, shape: str, limit: int | None = None) -> Int64[Tensor, "..."]:
        """Return a field as an int64 array whose entries are all in [0, limit).

        Raises:
            SageError: Of the class given at construction; the field is missing, of another shape, not integer, or out
                of range.
        """
        array = self._array(key, shape)
        whole = array.dtype.kind in "iu" or (array.dtype.kind == "f" and bool((array == np.round(array)).all()))
        if not whole:
            raise self.fail(key, f"type {array.dtype}", "integers")
        if array.dtype.kind in "fu" and array.size and not (array.min() >= -(2**63) and array.max() < 2**63):
            raise self.fail(key, f"values in {array.min()}..{array.max()}", "integers of 64 bits")
        array = array.astype(np.int64)
        if limit is not None and array.size and (array.min() < 0 or array.max() >= limit):
            raise self.fail(key, f"values in {array.min()}..{array.max()}", f"values in 0..{limit - 1}")
        return torch.from_numpy(array)

    def flags(self, key: str, shape: str) -> Bool[Tensor, "..."]:
        """Return a field as an array of true and false.

        Raises:
            SageError: Of the class given at construction; the field is missing, or of another shape or type.
        """
        array = self._array(key, shape)
        if array.dtype.kind != "b":
            raise self.fail(key, f"type {array.dtype}", "type bool")
        return torch.from_numpy(array.copy())

    def pixels(self, key: str, shape: str) -> UInt8[np.ndarray, "..."]:
        """Return a field as an array of bytes.

        Raises:
            SageError: Of the class given at construction; the field is missing, or of another shape or type.
        """
        array = self._array(key, shape)
        if array.dtype != np.uint8:
            raise self.fail(key, f"type {array.dtype}", "type uint8")
        return array

    def strings(self, key: str, shape: str) -> np.ndarray:
        """Return a field as an array of strings.

        Raises:
            SageError: Of the class given at construction; the field is missing, or of another shape or type.
        """
        array = self._array(key, shape)
        if array.dtype.kind != "U":
            raise self.fail(key, f"type {array.dtype}", "strings")
        return array

    def text(self, key: str) -> str:
        """Return a field that is one string; errors as for `strings`."""
        return str(self.strings(key, ""))

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the strings that `encode_texts` stored in a field.

        Raises:
            SageError: Of the class given at construction; the field is missing or holds no UTF-8 text.
        """
        array = self._array(key, "num_bytes_of_" + key)
        if array.dtype != np.uint8:
            raise self.fail(key, f"type {array.dtype}", "uint8")
        try:
            text = array.tobytes().decode()
        except UnicodeDecodeError as error:
            raise self.fail(key, f"bytes that are no UTF-8 ({error.reason})", "UTF-8 text") from error
        return tuple(line for line in text.split("\n") if line)

    def fail(self, key: str, found: str, expected: str) -> SageError:
        """Return the error to raise about one field; a long list of what was found is cut."""
        found = found if len(found) <= _LONGEST else f"{found[:_LONGEST]} ..."
        return self.error(f"{self.source}: '{key}': found {found}, expected {expected}. {self.hint}".rstrip())

    def _array(self, key: str, shape: str) -> np.ndarray:
        if key not in self.fields:
            raise self.fail(key, "nothing", f"an array of shape [{shape.replace(' ', ', ')}]")
        value = self.fields[key]
        names = shape.split()
        if sparse.issparse(value):
            self._check_shape(key, names, value.shape)
            size = math.prod(value.shape) * value.dtype.itemsize
            if size > MAX_ARRAY_BYTES:
                found = f"a sparse matrix of shape {list(value.shape)}, {in_bytes(size)}"
                raise self.fail(key, found, f"at most {in_bytes(MAX_ARRAY_BYTES)}")
        try:
            if isinstance(value, Tensor):
                value = value.detach().cpu().numpy()
            array = sparse.csr_matrix(value).toarray() if sparse.issparse(value) else np.asarray(value)
        except (ValueError, OverflowError, RecursionError, MemoryError) as error:
            raise self.fail(key, f"an unreadable entry ({error})", "a plain array") from error
        self._check_shape(key, names, array.shape)
        self.sizes.update({name: size for name, size in zip(names, array.shape, strict=True) if not name.isdigit()})
        return array

    def _check_shape(self, key: str, names: Sequence[str], found: Sequence[int]) -> None:
        expected = [int(name) if name.isdigit() else self.sizes.get(name) for name in names]
        agrees = len(found) == len(names) and all(
            want is None or want == size for want, size in zip(expected, found, strict=True)
        )
        if not agrees:
            described = [name if want is None else str(want) for name, want in zip(names, expected, strict=True)]
            raise self.fail(key, f"shape {list(found)}", f"shape [{', '.join(described)}]")


def encode_texts(texts: tuple[str, ...]) -> Tensor:
    """Encode strings as one uint8 tensor: UTF-8, one string per line. `ArrayFields.texts` decodes it."""
    return torch.frombuffer(bytearray("\n".join(texts).encode() or b"\n"), dtype=torch.uint8).clone()


def write_npz(path: Path, arrays: Mapping[str, np.ndarray], compress: bool = False) -> None:
    """Write an npz file atomically: readers find either the old file or the complete new one.

    Raises:
        WriteError: the file cannot be written, e.g. on a full disk.
    """
    # np.savez leaves its archive open after an error: Python then prints a second, misleading error on a full disk.
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with whole_file(path) as unfinished, zipfile.ZipFile(unfinished, "w", method, allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
