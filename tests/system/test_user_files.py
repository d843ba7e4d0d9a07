"""Paths that are no regular files are refused at once by every reader, with the path and what is there."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sage_ns.errors import SageError
from sage_ns.system.files import read_json
from sage_ns.system.json_files import load_json
from sage_ns.system.npz_reader import npz_names, read_npz
from sage_ns.system.safe_pickle import load_pickle
from sage_ns.system.user_files import check_regular, fault_of_file, in_bytes, open_regular, read_bytes


def fifo(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def dangling(path: Path) -> None:
    path.symlink_to("gone.bin")


def linked_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


NO_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (lambda path: None, "no such file"),
    "fifo": (fifo, r"is a named pipe \(FIFO\); expected a file"),
    "folder": (folder, "is a folder; expected a file"),
    "dangling": (dangling, r"is a link to gone\.bin, which does not exist"),
    "loop": (linked_to_itself, r"cannot be opened \(Too many levels of symbolic links\)"),
    "device": (device, "is a device; expected a file"),
    "socket": (bound_socket, "is a socket; expected a file"),
}

READERS: dict[str, Callable[[Path], Any]] = {
    "check_regular": lambda path: check_regular(path, SageError),
    "open_regular": lambda path: open_regular(path, SageError),
    "read_bytes": lambda path: read_bytes(path, SageError, 100),
    "load_json": lambda path: load_json(path, SageError),
    "read_npz": lambda path: read_npz(path, SageError),
    "load_pickle": load_pickle,
}


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused_at_once(reader: str, kind: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    path = Path("file.bin")
    make, message = NO_FILES[kind]
    make(path)
    with pytest.raises(SageError, match=rf"^file\.bin:? {message}"):
        READERS[reader](path)


@pytest.mark.parametrize("kind", NO_FILES)
def test_readers_of_caches_find_nothing_there(kind: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("file.npz")
    NO_FILES[kind][0](path)
    assert read_json(path) is None
    assert npz_names(path) is None


def test_regular_files_and_links_to_them_are_read(tmp_path: Path) -> None:
    path, link = tmp_path / "file.bin", tmp_path / "link.bin"
    path.write_bytes(b"content")
    link.symlink_to("file.bin")
    for each in (path, link, str(path)):
        assert fault_of_file(each) is None
        assert read_bytes(each, SageError, 7) == b"content"


def test_large_files_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(2**42)  # takes no space on the disk
    with pytest.raises(SageError, match=r"large\.bin has 4 TiB; expected at most 2 GiB. Split it."):
        read_bytes(path, SageError, 2**31, "Split it.")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_files_of_other_users_are_named(tmp_path: Path) -> None:
    path = tmp_path / "secret.bin"
    path.write_bytes(b"")
    path.chmod(0)
    with pytest.raises(SageError, match=r"secret\.bin cannot be opened \(Permission denied\)"):
        open_regular(path, SageError)


def test_impossible_names_are_refused() -> None:
    assert "null" in str(fault_of_file("a\0b"))
    assert "too long" in str(fault_of_file("x" * 5000))
    assert fault_of_file("\ud800") is not None


def test_sizes_have_a_unit_that_suits_them() -> None:
    assert [in_bytes(n) for n in (3, 2048, 3 * 2**20, 2**31, 2**50)] == [
        "3 bytes",
        "2 KiB",
        "3 MiB",
        "2 GiB",
        "1024 TiB",
    ]
