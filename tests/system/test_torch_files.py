"""Files of torch.save: sound ones pass, and whatever claims more than it holds is refused by name."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sage_ns.errors import SageError
from sage_ns.system import torch_files
from sage_ns.system.torch_files import check_torch_file
from tests.system.test_npz_reader import patched

MEMBERS = {"a/data.pkl": b"\x80\x02}.", "a/data/0": bytes(64)}


def archive(path: Path, compression: int = zipfile.ZIP_STORED, members: dict[str, bytes] = MEMBERS) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_what_torch_writes_passes(tmp_path: Path) -> None:
    path = tmp_path / "step.ckpt"
    torch.save({"step": 3, "pipeline": {"a": torch.zeros(1000), "b": torch.ones(3, dtype=torch.half)}}, path)
    check_torch_file(path, SageError)
    check_torch_file(archive(path), SageError)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), r"not a checkpoint that torch\.save wrote, or truncated"),
    "truncated": (lambda p: p.write_bytes(archive(p).read_bytes()[:-30]), r"not a checkpoint.*or truncated"),
    "no pickle": (lambda p: archive(p, members={"a/version": b"3"}), r"found no 'data\.pkl'"),
    "compressed": (lambda p: archive(p, zipfile.ZIP_DEFLATED), r"'a/data\.pkl': found a compressed member"),
    "encrypted": (lambda p: patched(archive(p), b"PK\1\2", 8, b"\1\0"), r"'a/data\.pkl': found an encrypted member"),
    "claims 3 GB": (
        lambda p: patched(archive(p), b"PK\1\2", 24, struct.pack("<I", 3 * 10**9)),
        r"'data\.pkl': claims 2\.79 GiB, expected at most 512 MiB",
    ),
    "claims 1 MB": (
        lambda p: patched(archive(p), b"PK\1\2", 24, struct.pack("<I", 2**20)),
        r"its members claim 1 MiB, but the file has \d+ bytes",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_by_name(name: str, tmp_path: Path) -> None:
    make, message = BROKEN[name]
    path = tmp_path / "step.ckpt"
    make(path)
    with pytest.raises(SageError, match=rf"step\.ckpt: {message}.* Give another\."):
        check_torch_file(path, SageError, "Give another.")


def test_large_pickles_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_files, "MAX_PICKLE_BYTES", 3)
    with pytest.raises(SageError, match=r"'data\.pkl': claims 4 bytes, expected at most 3 bytes"):
        check_torch_file(archive(tmp_path / "step.ckpt"), SageError)
