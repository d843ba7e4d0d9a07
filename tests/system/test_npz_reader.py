"""npz files that lie, or are damaged: refused from the header, by name, before memory is taken."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from copy import copy
from pathlib import Path

import numpy as np
import pytest

from sage_ns.errors import SageError
from sage_ns.system import npz_reader
from sage_ns.system.npz_reader import npz_names, read_npz

ARRAYS = {"a": np.arange(12.0).reshape(3, 4), "b": np.array([1, 2, 3])}


def npy_header(shape: str, descr: str = "'<f4'", extra: str = "") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, {extra}}}"
    padded = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode("latin1")


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def patched(path: Path, central: bytes, offset: int, value: bytes) -> Path:
    """Overwrite bytes of the first record with a signature (b"PK\\1\\2": central directory, b"PK\\3\\4": local)."""
    content = bytearray(path.read_bytes())
    start = content.index(central) + offset
    content[start : start + len(value)] = value
    path.write_bytes(content)
    return path


def plain(path: Path) -> Path:
    return archive(path, {"a.npy": npy(ARRAYS["a"])})


def encrypted(path: Path) -> Path:
    return patched(patched(plain(path), b"PK\1\2", 8, b"\1\0"), b"PK\3\4", 6, b"\1\0")


def claiming_2_gb(path: Path) -> Path:
    return patched(patched(plain(path), b"PK\1\2", 24, b"\xff\xff\xff\x7f"), b"PK\3\4", 22, b"\xff\xff\xff\x7f")


def of_2_gb(path: Path) -> Path:
    """A true array of 2 GiB that takes no space on the disk."""
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as target:
        info = zipfile.ZipInfo("a.npy")
        target.writestr(info, npy_header("(536870912,)"))
    grown = patched(path, b"PK\1\2", 20, struct.pack("<II", 2**31 + 128, 2**31 + 128))
    return grown


def bomb(path: Path) -> Path:
    zeros = npy_header("(33554432,)") + bytes(2**27)
    return archive(path, {"a.npy": zeros}, zipfile.ZIP_DEFLATED)


def many_bombs(path: Path) -> Path:
    zeros = npy_header("(1048576,)") + bytes(2**22)
    return archive(path, {f"{index}.npy": zeros for index in range(20)}, zipfile.ZIP_DEFLATED)


def overlapping(path: Path) -> Path:
    """Entries of the table of contents that all mean the same bytes, as in a quine of archives."""
    noise = np.random.default_rng(0).integers(0, 256, 100_000, dtype=np.uint8)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("0.npy", npy(noise))
        for index in range(1, 5):
            again = copy(file.infolist()[0])
            again.filename = f"{index}.npy"
            file.filelist.append(again)
    return path


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "terabytes": (lambda p: archive(p, {"a.npy": npy_header("(10**12,)")}), "'a'.*not a readable array"),
    "terabytes plainly": (
        lambda p: archive(p, {"a.npy": npy_header("(1000000000000, 3)")}),
        r"'a': found shape \[1000000000000, 3\] of float32, which is 10.9 TiB, but 0 bytes of data",
    ),
    "beyond 64 bits": (lambda p: archive(p, {"a.npy": npy_header(f"({2**70}, 0)")}), "'a'"),
    "negative": (lambda p: archive(p, {"a.npy": npy_header("(-1, -1)")}), r"'a': found shape \[-1, -1\]"),
    "more data": (lambda p: archive(p, {"a.npy": npy_header("(1,)") + bytes(8)}), "'a'.*4 bytes, but 8 bytes of data"),
    "less data": (lambda p: archive(p, {"a.npy": npy_header("(3,)") + bytes(8)}), "'a'.*12 bytes, but 8 bytes"),
    "nested header": (lambda p: archive(p, {"a.npy": npy_header("(" * 3000 + ")" * 3000)}), "'a'.*not a readable"),
    "no header": (lambda p: archive(p, {"a.npy": b"hello"}), "'a'.*not a readable"),
    "empty member": (lambda p: archive(p, {"a.npy": b""}), "'a'.*not a readable"),
    "unknown type": (lambda p: archive(p, {"a.npy": npy_header("(1,)", "'<q9'")}), "'a'.*not a readable"),
    "other version": (lambda p: archive(p, {"a.npy": b"\x93NUMPY\x09\x00" + bytes(100)}), "'a'.*version"),
    "encrypted": (encrypted, "'a': found an encrypted member"),
    "claims 2 GB": (claiming_2_gb, "'a': claims 2 GiB, expected at most 1 GiB"),
    "2 GB": (of_2_gb, "'a': claims 2 GiB, expected at most 1 GiB"),
    "bomb": (bomb, "'a': found 128 MiB, compressed to 127 KiB, expected a ratio of at most 200"),
    "many small bombs": (many_bombs, "its arrays: found 80 MiB, compressed to .* KiB, expected a ratio of at most 200"),
    "one member many times": (overlapping, r"its members claim .* of the file, which has"),
    "lzma": (lambda p: archive(p, {"a.npy": npy(ARRAYS["a"])}, zipfile.ZIP_LZMA), "'a': found compression method 14"),
    "bzip2": (lambda p: archive(p, {"a.npy": npy(ARRAYS["a"])}, zipfile.ZIP_BZIP2), "'a': found compression method 12"),
    "newer zip": (lambda p: patched(plain(p), b"PK\1\2", 6, b"\xff\x00"), "not a readable npz file"),
    "wrong checksum": (lambda p: patched(plain(p), b"PK\1\2", 16, b"\1\2\3\4"), "'a'.*not a readable.*CRC"),
    "overlap": (lambda p: patched(plain(p), b"PK\1\2", 42, b"\xff\xff\x00\x00"), "'a'.*not a readable"),
    "no zip": (lambda p: p.write_bytes(b"hello"), "not a readable npz file"),
    "empty": (lambda p: p.write_bytes(b""), "not a readable npz file"),
    "a npy": (lambda p: p.write_bytes(npy(ARRAYS["a"])), "not a readable npz file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_by_name(name: str, tmp_path: Path) -> None:
    make, message = BROKEN[name]
    path = tmp_path / "x.npz"
    make(path)
    tracemalloc.start()
    try:
        with pytest.raises(SageError, match=rf"x\.npz: .*{message}"):
            read_npz(path, SageError)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * 2**20, "memory was taken for what the file claims"


def test_all_arrays_together_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz_reader, "MAX_FILE_BYTES", 300)
    path = tmp_path / "x.npz"
    np.savez(path, **ARRAYS)
    with pytest.raises(SageError, match=r"x\.npz: its arrays up to 'b' claim 376 bytes; expected at most 300 bytes"):
        read_npz(path, SageError)
    assert read_npz(path, SageError, ["a"])["a"].shape == (3, 4), "only what is read counts"


def test_a_header_that_ends_within_a_statement_is_refused_by_name(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.npz", {"a.npy": npy_header("(3,").replace(b"}", b" ")})
    with pytest.raises(SageError, match=r"x\.npz: .*'a'"):
        read_npz(path, SageError)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_sound_files_are_read(save: Callable, tmp_path: Path) -> None:
    others = {
        "empty": np.zeros((0, 3)),
        "scalar": np.array(3),
        "text": np.array(["a", "bc"]),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "zeros": np.zeros(100_000),
        "swapped": np.arange(3, dtype=">f8"),
    }
    path = tmp_path / "x.npz"
    save(path, **ARRAYS, **others, objects=np.array([None]))
    read = read_npz(path, SageError)
    assert read.keys() == {*ARRAYS, *others}, "objects would need unpickling"
    for name, array in (ARRAYS | others).items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype.newbyteorder("="), "in this machine's order of bytes"
    assert read_npz(path, SageError, ["b", "c"]).keys() == {"b"}
    assert npz_names(path) == {*ARRAYS, *others, "objects"}


def test_names_of_broken_files(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(b"PK\3\4")
    assert npz_names(path) is None
    assert npz_names(archive(path, {"readme.txt": b"hello"})) is None


def test_truncation_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **ARRAYS)
    whole = path.read_bytes()
    for cut in range(0, len(whole), 37):
        path.write_bytes(whole[:cut])
        with pytest.raises(SageError, match=r"x\.npz: "):
            read_npz(path, SageError)


def test_noise_raises_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, **ARRAYS)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(300):
        noisy = bytearray(whole)
        for position in generator.integers(0, len(whole), 3):
            noisy[position] = generator.integers(256)
        path.write_bytes(noisy)
        npz_names(path)
        try:
            read_npz(path, SageError)
        except SageError as error:
            assert "x.npz" in str(error)
