from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sage_ns.system.cache import cache_dir
from sage_ns.system.compiled import choose_kernel_folder
from sage_ns.video import ffmpeg


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home folder that is a file, which stops the root user too, and an empty folder for temporary files."""
    (tmp_path / "home").touch()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    for name in ("SAGE_CACHE", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")  # so that what the code sets is taken back


def test_without_a_home_it_is_a_private_temporary_folder_and_one_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = cache_dir()
    assert folder.parent == tmp_path / "tmp" and folder.stat().st_mode & 0o777 == 0o700
    assert cache_dir() == folder and os.environ["SAGE_CACHE"] == str(folder)
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert all(name in printed for name in (str(tmp_path / "home"), str(folder), "SAGE_CACHE", "NUMBA_CACHE_DIR"))


@pytest.mark.parametrize("taken", ["open to others", "a link", "a file"])
def test_a_temporary_folder_of_others_is_not_used(taken: str, tmp_path: Path) -> None:
    mine = tmp_path / "tmp" / f"sage_ns-{os.getuid()}"
    if taken == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        mine.symlink_to(tmp_path / "elsewhere")
    elif taken == "a file":
        mine.touch()
    else:
        mine.mkdir()
        mine.chmod(0o777)
    assert cache_dir() != mine and not list((tmp_path / "elsewhere").glob("*"))


def test_a_folder_that_the_user_names_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    assert cache_dir() == tmp_path / "shared" / "sage_ns"
    monkeypatch.setenv("SAGE_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"


def test_kernels_go_where_they_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "package" / "room"
    package.mkdir(parents=True)
    (package / "_numba_kernel.py").touch()
    choose_kernel_folder(package.parent)
    assert not os.environ["NUMBA_CACHE_DIR"]  # beside the source files
    (package / "__pycache__").rmdir()
    (package / "__pycache__").touch()  # cannot be written
    import numba.core.config

    monkeypatch.setattr(numba.core.config, "CACHE_DIR", "")
    choose_kernel_folder(package.parent)
    chosen = os.environ["NUMBA_CACHE_DIR"]
    assert Path(chosen).parents[1] == tmp_path / "tmp" and vars(numba.core.config)["CACHE_DIR"] == chosen
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "given"))
    choose_kernel_folder(package.parent)
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "given")


def test_numba_compiles_without_any_place_of_its_own(tmp_path: Path) -> None:
    package = tmp_path / "kernels"
    (package / "__pycache__").parent.mkdir()
    (package / "__pycache__").touch()
    (package / "_numba_kernel.py").write_text(
        "from pathlib import Path\n"
        "import sage_ns.system.compiled as compiled\n"
        "compiled.choose_kernel_folder(Path(__file__).parent)\n"
        "@compiled.njit(cache=True)\n"
        "def twice(x):\n    return 2 * x\n"
        "print(twice(4))\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(package / "_numba_kernel.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "8\n"), done.stderr
    assert list((tmp_path / "tmp").rglob("*.nbc"))


def test_training_needs_no_link_to_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))

    def fail(*_: object) -> Path:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(ffmpeg, "_linked", fail)
    ffmpeg.put_ffmpeg_on_path()
    assert os.environ["PATH"] == str(tmp_path / "empty")
