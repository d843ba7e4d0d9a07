from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from sage_ns.cli.explained import explained
from tests.integration.commands import start_program
from tests.waiting import PATIENCE


def test_a_full_disk_is_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, explained(Console()):
        raise OSError(errno.ENOSPC, "", "out/a.png")
    printed = capsys.readouterr().out
    assert stopped.value.code == 1 and "out/a.png cannot be written: No space left on device" in printed


def test_other_errors_are_shown_as_they_are() -> None:
    with pytest.raises(FileNotFoundError), explained(Console()):
        raise FileNotFoundError(errno.ENOENT, "", "a bug")


def test_ctrl_c_is_one_line_and_exit_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, explained(Console(), "Interrupted. Again."):
        raise KeyboardInterrupt
    assert stopped.value.code == 130 and capsys.readouterr().out == "Interrupted. Again.\n"


def test_ctrl_c_before_a_command_runs_is_one_line_too() -> None:
    script = "import os, signal, sage_ns.cli; os.kill(os.getpid(), signal.SIGINT)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (-signal.SIGINT, 130) and done.stderr == "Interrupted.\n"


def test_an_interrupted_synthesis_leaves_nothing(tmp_path: Path) -> None:
    arguments = ("synthesize", tmp_path / "out" / "cap", "--scale", "0.3", "--workers", "2")
    program = start_program("sage-capture", *arguments, cwd=tmp_path, output=tmp_path / "log.txt")
    deadline = time.monotonic() + PATIENCE
    while not list(tmp_path.glob("out/.sage-*/images/*.png")):
        assert program.poll() is None and time.monotonic() < deadline, (tmp_path / "log.txt").read_text()
        time.sleep(0.1)
    program.send_signal(signal.SIGINT)
    assert program.wait(PATIENCE) == 130
    assert (
        "Interrupted." in (tmp_path / "log.txt").read_text() and "Traceback" not in (tmp_path / "log.txt").read_text()
    )
    assert not list((tmp_path / "out").iterdir())
