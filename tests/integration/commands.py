"""nerfstudio's commands, in this process where that is equivalent (imports cost many seconds) or as real programs."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from unittest import mock

from sage_ns.system import leftovers
from tests.waiting import PATIENCE

MODULES = {
    "ns-train": "nerfstudio.scripts.train",
    "ns-eval": "nerfstudio.scripts.eval",
    "ns-render": "nerfstudio.scripts.render",
}


def run_here(command: str, *arguments: object) -> None:
    """Calls the entry point of a command as its console script would, with these arguments."""
    module = importlib.import_module(MODULES[command])
    from nerfstudio.utils import writer  # cannot be the first module of nerfstudio: its imports are circular

    writer.EVENT_WRITERS.clear()  # those of earlier commands, whose folders may be gone
    with mock.patch.object(sys, "argv", [command, *map(str, arguments)]):
        module.entrypoint()


def start_program(command: str, *arguments: object, cwd: Path, output: Path) -> subprocess.Popen:
    """Starts the console script of this environment; what it prints goes to ``output``."""
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    program = Path(sys.executable).parent / command
    with output.open("w") as file:
        return subprocess.Popen(
            [program, *map(str, arguments)], cwd=cwd, env=environment, stdout=file, stderr=subprocess.STDOUT
        )


def run_program(command: str, *arguments: object, cwd: Path, output: Path) -> tuple[int, str]:
    """Runs the console script to its end; returns its exit code and what it printed."""
    code = start_program(command, *arguments, cwd=cwd, output=output).wait(timeout=PATIENCE)
    return code, output.read_text()


def run_killed(main: str, arguments: Iterable[object], out: Path, moment: str, count: int) -> None:
    """Runs a command in a process of its own that kills itself (SIGKILL) at a moment; see `tests.integration.killed`.

    Args:
        main: "ns-train", or the function to call as package.module:name.
        out: folder that the command writes into.
        moment: "step", "checkpoint" or "file".
        count: which of these moments, from 1.
    """
    command = [sys.executable, "-m", "tests.integration.killed", str(out), moment, str(count), main]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(
        [*command, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    leftovers._swept.clear()  # what goes on after a kill is a new process, which sweeps once more
    assert done.returncode == -signal.SIGKILL, f"{moment} {count}: {done.returncode}\n{done.stdout}\n{done.stderr}"
