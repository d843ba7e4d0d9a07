from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.errors import SageError, WriteError, explainable
from sage_ns.plugin.checkpoints import CheckpointHeader, write_checkpoint
from sage_ns.system import files, leftovers
from sage_ns.system.array_fields import read_npz, write_npz
from sage_ns.system.files import disk_errors_of, refuse_unwritable, whole_file, whole_folder, write_json, write_text
from sage_ns.system.leftovers import is_unfinished, sweep, unfinished_name

FULL = Path("/dev/full")
"""A device that fails every write with ENOSPC."""


@pytest.fixture(autouse=True)
def nothing_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_swept", set())


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unfinished files lead to the device that is always full."""
    if not FULL.exists():
        pytest.skip("no /dev/full on this system")

    def leads_to_full(unfinished: Path) -> None:
        unfinished.symlink_to(FULL)

    monkeypatch.setattr(files, "_check_writable", leads_to_full)


def _write_torch(path: Path) -> None:
    write_checkpoint(path.parent, CheckpointHeader(2, {"a": 3}), {"pipeline": {"x": torch.zeros(100_000)}})


WRITERS = {
    "text": lambda folder: write_text(folder / "a.txt", "x" * 100_000),
    "json": lambda folder: write_json(folder / "a.json", ["x" * 100_000]),
    "npz": lambda folder: write_npz(folder / "a.npz", {"x": np.zeros(100_000)}),
    "compressed npz": lambda folder: write_npz(
        folder / "a.npz", {"x": np.random.default_rng(0).random(100_000)}, compress=True
    ),
    "checkpoint": lambda folder: _write_torch(folder / "step-000000002.ckpt"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_one_error_that_names_the_file_and_leaves_nothing(
    kind: str, tmp_path: Path, full_disk: None
) -> None:
    old = tmp_path / "old" / "step-000000001.ckpt"
    old.parent.mkdir()
    old.write_text("old")
    with pytest.raises(WriteError, match="No space left on device") as raised:
        WRITERS[kind](old.parent)
    assert str(raised.value.path).startswith(str(old.parent)) and not is_unfinished(Path(str(raised.value.path)))
    assert list(tmp_path.rglob("*")) == [old.parent, old] and old.read_text() == "old"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_folder_on_a_full_disk_names_the_file_at_its_later_place(number: int, tmp_path: Path) -> None:
    with pytest.raises(WriteError) as raised, whole_folder(tmp_path / "out") as folder:
        raise OSError(number, os.strerror(number), str(folder / "images" / "1.png"))
    assert raised.value.path == tmp_path / "out" / "images" / "1.png"
    assert os.strerror(number) in str(raised.value) and not list(tmp_path.iterdir())


def test_errors_that_have_nothing_to_do_with_the_disk_stay(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "a"):
        (tmp_path / "missing").read_text()
    with pytest.raises(KeyError), disk_errors_of(tmp_path):
        raise KeyError("x")
    assert explainable(PermissionError(errno.EACCES, "")) is None
    assert not list(tmp_path.iterdir())


def test_a_full_disk_behind_another_error_is_explained() -> None:
    error = RuntimeError("unexpected pos")
    error.__context__ = OSError(errno.ENOSPC, "", "source", None, "written")
    explained = explainable(error)
    assert isinstance(explained, WriteError) and "written cannot be written: No space" in str(explained)
    given = SageError("x")
    assert explainable(given) is given


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"file/out\.npz cannot be written: Not a directory"):
        refuse_unwritable(tmp_path / "file" / "out.npz")
    with pytest.raises(WriteError, match="file/a cannot be written"), whole_file(tmp_path / "file" / "a"):
        raise AssertionError
    refuse_unwritable(tmp_path / "new" / "folder" / "out.npz")
    assert not (tmp_path / "new").exists()


def test_arrays_come_back(tmp_path: Path) -> None:
    arrays = {"a/b": np.arange(6.0).reshape(2, 3), "c": np.array(["x"]), "d": np.array(3)}
    write_npz(tmp_path / "a.npz", arrays)
    write_npz(tmp_path / "b.npz", arrays, compress=True)
    for name in ("a.npz", "b.npz"):
        found = read_npz(tmp_path / name, SageError)
        assert found.keys() == arrays.keys() and all(np.array_equal(found[key], arrays[key]) for key in arrays)
    with pytest.raises(ValueError, match="allow_pickle"):
        write_npz(tmp_path / "c.npz", {"a": np.array([object()])})
    assert not (tmp_path / "c.npz").exists() and len(list(tmp_path.iterdir())) == 2


def test_what_killed_processes_left_is_removed_and_what_running_ones_write_stays(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    own = unfinished_name("x.npz")
    left = own.replace(f"-{os.getpid()}.", f"-{dead.pid}.")
    running = own.replace(f"-{os.getpid()}.", f"-{os.getppid()}.")
    other, old = ".sage-00000000-1.x", ".sage-00000000-2.x"
    for name in (left, own, running, other, old, ".hidden", ".sage-notes.txt"):
        (tmp_path / name).write_text("x")
    os.utime(tmp_path / old, (0, 0))
    (tmp_path / (left + ".d")).mkdir()
    (tmp_path / (left + ".d") / "inside").touch()
    write_text(tmp_path / "a.txt", "x")
    assert {path.name for path in tmp_path.iterdir()} == {own, running, other, ".hidden", ".sage-notes.txt", "a.txt"}


def test_a_folder_that_a_killed_process_put_aside_comes_back(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    aside = tmp_path / leftovers.retired_name("cap.xyz").replace(f"-{os.getpid()}-", f"-{dead.pid}-")
    (aside / "cap").mkdir(parents=True)
    (aside / "cap" / "data").write_text("old")
    sweep(tmp_path)
    assert (tmp_path / "cap" / "data").read_text() == "old" and not aside.exists()
