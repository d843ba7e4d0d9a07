"""Damages of files of named arrays: npz files, pickled dicts and checkpoints of torch."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.corpus.damage import Damage, Payload, Spot, rewritten

Change = Callable[[np.ndarray], np.ndarray]


def _with_first(value: Any) -> Change:
    def change(array: np.ndarray) -> np.ndarray:
        changed = array.astype(np.float64 if array.dtype.kind in "iub" else array.dtype)
        if changed.size:
            changed.reshape(-1)[changed.size // 2] = value
        return changed

    return change


def _as_index(value: int) -> Change:
    def change(array: np.ndarray) -> np.ndarray:
        changed = array.copy()
        if changed.size:
            changed.reshape(-1)[changed.size // 2] = value
        return changed

    return change


def _of_numbers(change: Change) -> Change:
    """Leave texts as they are."""
    return lambda array: array if array.dtype.kind in "SU" else change(array)


_NOT_FINITE: dict[str, Change] = {
    "a NaN": _with_first(np.nan),
    "an infinity": _with_first(np.inf),
    "all NaN": lambda array: np.full(array.shape, np.nan, dtype=np.float32),
    "1e30": _with_first(1e30),
    "-1e30": _with_first(-1e30),
    "all 1e300": lambda array: np.full(array.shape, 1e300),
}
_MISSHAPEN: dict[str, Change] = {
    "another axis": lambda array: array[None],
    "flat": lambda array: array.reshape(-1) if array.ndim > 1 else array[None, None],
    "transposed": lambda array: array.T if array.ndim > 1 and len(set(array.shape)) > 1 else array[..., None, None],
    "complex": _of_numbers(lambda array: array.astype(np.complex64)),
    "texts": lambda array: array.astype("U8"),
    "bytes": lambda array: array.astype("S8"),
    "dates": lambda array: np.zeros(array.shape, dtype="M8[s]"),
    "a record": lambda array: np.zeros(array.shape, dtype=[("a", "f4"), ("b", "i4")]),
}
_ODD: dict[str, Change] = {
    "a scalar": lambda array: np.array(0.5, dtype=np.float32),
    "no rows": lambda array: array[:0] if array.ndim else np.zeros(0),
    "a row too few": lambda array: array[:-1] if array.ndim else np.zeros(0),
    "a row too many": lambda array: np.concatenate([array, array[-1:]]) if array.ndim and len(array) else array[None],
    "a million rows": lambda array: np.resize(array.reshape(-1)[:1], 1_000_000),
    "all 0": lambda array: np.zeros_like(array),
    "all 57.3 times larger": _of_numbers(lambda array: (array.astype(np.float64) * 57.3).astype(np.float32)),
    "negative": _of_numbers(lambda array: -np.abs(array.astype(np.float64)).astype(np.float32) - 1),
    "an index of -1": lambda array: _as_index(-1)(array.astype(np.int64)) if array.dtype.kind in "iu" else array,
    "an index of 2^40": lambda array: _as_index(2**40)(array.astype(np.int64)) if array.dtype.kind in "iu" else array,
    "half precision": _of_numbers(lambda array: array.astype(np.float16 if array.dtype.kind == "f" else np.int16)),
    "true and false": _of_numbers(lambda array: array.astype(np.bool_)),
}


def array_changes() -> list[tuple[str, str, Change]]:
    """Names, verdicts and changes of one array. A reader that needs the array must refuse those with "refuse"."""
    return [
        *((name, "refuse", change) for name, change in _NOT_FINITE.items()),
        *((name, "right", change) for name, change in _MISSHAPEN.items()),
        *((name, "any", change) for name, change in _ODD.items()),
    ]


# ---- npz ------------------------------------------------------------------------------------------------------------


def npz_damages() -> list[Damage]:
    """Damages for npz files."""
    return [
        *(_of_array(f"array: {name}", verdict, change) for name, verdict, change in array_changes()),
        _of_array("array: big-endian", "same", lambda array: array.astype(array.dtype.newbyteorder(">"))),
        # asfortranarray gives scalars an axis
        _of_array("array: by columns", "same", lambda array: np.asfortranarray(array) if array.ndim else array),
        _of_npz("array missing", "refuse", lambda arrays, name: arrays.pop(name)),
        _of_npz("array of objects", "refuse", lambda arrays, name: arrays.update({name: _objects(arrays[name])})),
        _of_npz("array of payloads", "refuse", lambda arrays, name: arrays.update({name: _objects(Payload())})),
        _of_npz(
            "array under another name", "refuse", lambda arrays, name: arrays.update({f"{name}_": arrays.pop(name)})
        ),
        Damage("compressed", "same", lambda spot: _save(spot, _arrays(spot.path), np.savez_compressed)),
        Damage("an array more", "any", lambda spot: _save(spot, {**_arrays(spot.path), "more": np.arange(3)})),
        Damage("a payload more", "any", lambda spot: _save(spot, {**_arrays(spot.path), "more": _objects(Payload())})),
        _of_member("claims terabytes", lambda member: _header((2**40,))),
        _of_member("claims a negative size", lambda member: _header((-5, 3))),
        _of_member("claims more than it holds", lambda member: _header((10**6,)) + bytes(100)),
        _of_member("claims 64 axes", lambda member: _header((1,) * 64) + bytes(4)),
        _of_member("has a header of code", lambda member: _coded(member)),
        _of_member("is text", lambda member: b"0 1 2\n"),
        _of_member("is empty", lambda member: b""),
        _of_member("is cut", lambda member: member[: len(member) // 2]),
        Damage("an archive bomb", "refuse", _bomb, array_names),
        Damage("an encrypted member", "refuse", _encrypted, array_names),
        Damage("a member twice", "any", _member_twice, array_names),
        Damage("sizes in the table of contents are lies", "refuse", _lying, array_names),
        Damage("a member with a path upwards", "any", _upwards),
    ]


def array_names(path: Path) -> Iterable[str]:
    """Names of the arrays of an npz file."""
    with zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return dict(stored)


def _save(spot: Spot, arrays: dict[str, Any], save: Callable[..., None] = np.savez) -> None:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    rewritten(spot, buffer.getvalue())


def _of_npz(name: str, verdict: Any, change: Callable[[dict[str, Any], str], Any]) -> Damage:
    def apply(spot: Spot) -> None:
        arrays = _arrays(spot.path)
        change(arrays, spot.target)
        _save(spot, arrays)

    return Damage(name, verdict, apply, array_names)


def _of_array(name: str, verdict: Any, change: Change) -> Damage:
    def apply(arrays: dict[str, Any], target: str) -> None:
        arrays[target] = change(arrays[target])

    return _of_npz(name, verdict, apply)


def _objects(value: Any) -> np.ndarray:
    array = np.empty(1, dtype=object)
    array[0] = value
    return array


def _header(shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _coded(member: bytes) -> bytes:
    text = b"{'descr': __import__('os').system('touch $SAGE_CORPUS_CANARY'), 'shape': (1,), 'fortran_order': False}\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(4)


def _of_member(name: str, change: Callable[[bytes], bytes]) -> Damage:
    def apply(spot: Spot) -> None:
        _rewrite_members(spot, lambda member, content: change(content) if member == spot.target else content)

    return Damage(f"member {name}", "refuse", apply, array_names)


def _rewrite_members(spot: Spot, change: Callable[[str, bytes], bytes]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(spot.path) as archive, zipfile.ZipFile(buffer, "w") as new:
        for info in archive.infolist():
            new.writestr(info.filename, change(info.filename.removesuffix(".npy"), archive.read(info)))
    rewritten(spot, buffer.getvalue())


@cache
def _zeros() -> tuple[bytes, int]:
    """An npy member of 512 MiB, compressed to half a megabyte, and its size."""
    import zlib

    size = 2**29
    start = _header((size // 4,))
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    parts = [packer.compress(start)]
    parts += [packer.compress(bytes(2**22)) for _ in range(size >> 22)]
    return b"".join([*parts, packer.flush()]), size + len(start)


def _bomb(spot: Spot) -> None:
    """The array is zeros that take a thousand times the file's size."""
    import struct

    packed, size = _zeros()
    name = f"{spot.target}.npy".encode()
    # The check sum does not matter: reading 512 MiB to compare it is what a bomb is for.
    sizes = struct.pack("<III", 0, len(packed), size)
    local = struct.pack("<4sHHHHH", b"PK\3\4", 20, 0, 8, 0, 0) + sizes + struct.pack("<HH", len(name), 0) + name
    central = struct.pack("<4sHHHHHH", b"PK\1\2", 20, 20, 0, 8, 0, 0) + sizes
    central += struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, 0) + name
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local) + len(packed), 0)
    rewritten(spot, local + packed + central + end)


def _in_contents(content: bytearray, name: bytes) -> int:
    """Return the place of a member in the table of contents, where names of others may end with its name."""
    place = content.index(b"PK\1\2")
    while content[place + 46 : place + 46 + int.from_bytes(content[place + 28 : place + 30], "little")] != name:
        place = content.index(b"PK\1\2", place + 4)
    return place


def _encrypted(spot: Spot) -> None:
    content = bytearray(spot.path.read_bytes())
    with zipfile.ZipFile(spot.path) as archive:
        local = archive.getinfo(f"{spot.target}.npy").header_offset
    central = _in_contents(content, f"{spot.target}.npy".encode())
    content[local + 6] |= 1
    content[central + 8] |= 1
    rewritten(spot, bytes(content))


def _member_twice(spot: Spot) -> None:
    import warnings

    buffer = io.BytesIO(spot.path.read_bytes())
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr(f"{spot.target}.npy", archive.read(f"{spot.target}.npy"))
    rewritten(spot, buffer.getvalue())


def _lying(spot: Spot) -> None:
    """The table of contents claims four times the size of the member."""
    content = bytearray(spot.path.read_bytes())
    central = _in_contents(content, f"{spot.target}.npy".encode())
    size = int.from_bytes(content[central + 24 : central + 28], "little")
    content[central + 24 : central + 28] = (4 * size + 4).to_bytes(4, "little")
    rewritten(spot, bytes(content))


def _upwards(spot: Spot) -> None:
    buffer = io.BytesIO(spot.path.read_bytes())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("../../outside.npy", b"x")
    rewritten(spot, buffer.getvalue())


# ---- pickled dicts --------------------------------------------------------------------------------------------------


def pickle_damages() -> list[Damage]:
    """Damages for pickled dicts of arrays."""
    return [
        *(_of_pickle(f"array: {name}", verdict, _on_item(change)) for name, verdict, change in array_changes()),
        _of_pickle("array missing", "refuse", lambda content, name: content.pop(name)),
        _of_pickle("array is a payload", "refuse", lambda content, name: content.update({name: Payload()})),
        _of_pickle("array is None", "refuse", lambda content, name: content.update({name: None})),
        _of_pickle("array is ragged", "refuse", lambda content, name: content.update({name: [[1, 2], [3]]})),
        _of_pickle("array in a dict", "refuse", lambda content, name: content.update({name: {"x": content[name]}})),
        _raw("a payload more", "refuse", lambda content: pickle.dumps({**content, "more": Payload()})),
        _raw("a list of it", "refuse", lambda content: pickle.dumps([content])),
        _raw("a billion laughs", "refuse", lambda content: _laughs()),
        _raw("a class that is missing", "refuse", lambda content: b"cno_such_module\nClass\n)\x81."),
        _raw("a memo bomb", "refuse", lambda content: b"\x80\x02}r\xff\xff\xff\x7f."),
        _raw("nested deep", "refuse", lambda content: b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."),
        _raw("a list that contains itself", "refuse", lambda content: b"\x80\x02}q\0X\1\0\0\0fh\0s."),
        _raw("bytes that claim gigabytes", "refuse", lambda content: b"\x80\x04\x8e" + (2**40).to_bytes(8, "little")),
        _raw("protocol 2", "same", lambda content: pickle.dumps(content, protocol=2)),
        _raw("protocol 5", "same", lambda content: pickle.dumps(content, protocol=5)),
        _raw("a persistent id", "refuse", lambda content: b"\x80\x02X\1\0\0\0aQ."),
        _raw("an extension code", "refuse", lambda content: b"\x80\x02\x82\x01."),
    ]


def pickle_names(path: Path) -> Iterable[str]:
    """Keys of a pickled dict whose values are arrays or lists."""
    content = pickle.loads(path.read_bytes())
    return [key for key, value in content.items() if isinstance(value, (np.ndarray, list))]


def _on_item(change: Change) -> Callable[[dict[str, Any], str], None]:
    def apply(content: dict[str, Any], name: str) -> None:
        content[name] = change(np.asarray(content[name]))

    return apply


def _of_pickle(name: str, verdict: Any, change: Callable[[dict[str, Any], str], Any]) -> Damage:
    def apply(spot: Spot) -> None:
        content = pickle.loads(spot.path.read_bytes())
        change(content, spot.target)
        rewritten(spot, pickle.dumps(content))

    return Damage(name, verdict, apply, pickle_names)


def _raw(name: str, verdict: Any, change: Callable[[Any], bytes]) -> Damage:
    return Damage(name, verdict, lambda spot: rewritten(spot, change(pickle.loads(spot.path.read_bytes()))))


def _laughs() -> bytes:
    """A list of ten references to a list of ten references ... : 10^10 entries in a few hundred bytes."""
    value: Any = ["ha"] * 10
    for _ in range(10):
        value = [value] * 10
    return pickle.dumps({"v_template": value})


# ---- torch ----------------------------------------------------------------------------------------------------------


def torch_damages() -> list[Damage]:
    """Damages for files of `torch.save` that hold dicts of dicts of arrays or tensors."""
    return [
        *(_of_torch(f"array: {name}", verdict, change) for name, verdict, change in array_changes()),
        _of_torch("array missing", "refuse", None),
        Damage("array is a payload", "refuse", lambda spot: _put(spot, Payload()), torch_names),
        Damage("array is a text", "refuse", lambda spot: _put(spot, "text"), torch_names),
        Damage("array is sparse", "refuse", lambda spot: _put(spot, torch.eye(3).to_sparse()), torch_names),
        Damage(
            "array claims gigabytes", "refuse", lambda spot: _put(spot, torch.zeros(1).expand(10**9, 3)), torch_names
        ),
        Damage("a payload more", "refuse", lambda spot: _save_torch(spot, {**_load(spot.path), "more": Payload()})),
        Damage("only a payload", "refuse", lambda spot: _save_torch(spot, Payload())),
        Damage("compressed", "any", _compressed),
        Damage("its pickle is a payload", "refuse", lambda spot: _new_pickle(spot, pickle.dumps(Payload()))),
        Damage("its pickle is empty", "refuse", lambda spot: _new_pickle(spot, b"")),
        Damage("its pickle is a billion laughs", "refuse", lambda spot: _new_pickle(spot, _laughs())),
        Damage("its pickle is cut", "refuse", lambda spot: _new_pickle(spot, None)),
        Damage("in torch's old format", "any", _old_format),
    ]


def torch_names(path: Path) -> Iterable[str]:
    """Group and name, separated by "/", of the arrays in the dicts of a file of torch."""
    content = _load(path)
    return [
        f"{group}/{name}"
        for group, inner in content.items()
        if isinstance(inner, dict)
        for name, value in inner.items()
        if isinstance(value, (np.ndarray, torch.Tensor))
    ]


def _load(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=False)


def _save_torch(spot: Spot, content: Any) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    rewritten(spot, buffer.getvalue())


def _put(spot: Spot, value: Any) -> None:
    content = _load(spot.path)
    group, name = spot.target.split("/", 1)
    content[group][name] = value
    _save_torch(spot, content)


def _of_torch(name: str, verdict: Any, change: Change | None) -> Damage:
    def apply(spot: Spot) -> None:
        content = _load(spot.path)
        group, key = spot.target.split("/", 1)
        old = content[group].pop(key)
        if change is not None:
            array = np.asarray(change(old.numpy() if isinstance(old, torch.Tensor) else old))
            numeric = array.dtype.kind in "fiubc"
            # Texts and dates cannot be tensors: they stay arrays, which a checkpoint may not hold.
            content[group][key] = torch.from_numpy(array.copy()) if isinstance(old, torch.Tensor) and numeric else array
        _save_torch(spot, content)

    return Damage(name, verdict, apply, torch_names)


def _members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _new_pickle(spot: Spot, content: bytes | None) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as new:
        for name, old in _members(spot.path).items():
            changed = old[: len(old) // 2] if content is None else content
            new.writestr(name, changed if name.endswith("data.pkl") else old)
    rewritten(spot, buffer.getvalue())


def _compressed(spot: Spot) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name, old in _members(spot.path).items():
            new.writestr(name, old)
    rewritten(spot, buffer.getvalue())


def _old_format(spot: Spot) -> None:
    buffer = io.BytesIO()
    torch.save(_load(spot.path), buffer, _use_new_zipfile_serialization=False)
    rewritten(spot, buffer.getvalue())
