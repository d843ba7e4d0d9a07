"""The process of a task, seen from the process that starts it and from inside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sage_ns.errors import explainable
from sage_ns.system.console import escape
from sage_ns.system.files import read_json, write_json
from sage_ns.system.processes import die_with

LOG_FILE = "log.txt"
FAILURE_FILE = "failure.json"
"""File with the reason why a task failed."""

SECONDS_TO_STOP = 60
"""Enough for a step of the largest training and its checkpoint."""

_POLL_SECONDS = 0.3
_LINES_OF_LOG = 15


def environment(cores: int | None, on_gpu: bool | None = None) -> dict[str, str]:
    """Return the variables that limit a process to its share of a machine.

    Args:
        cores: threads of torch and of our kernels, which follow torch; None = as the machine is set up.
        on_gpu: whether the process may see GPUs; None = as the machine is set up.
    """
    threads = {} if cores is None else {name: str(cores) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return threads | ({"CUDA_VISIBLE_DEVICES": ""} if on_gpu is False else {})


class TaskProcess:
    """A task's process. Its output goes to ``log.txt`` in the task's folder.

    Args:
        module: module to run.
        folder: folder of the task.
        variables: variables of the environment beside those of this process.
    """

    def __init__(self, module: str, folder: Path, variables: Mapping[str, str]) -> None:
        (folder / FAILURE_FILE).unlink(missing_ok=True)
        with (folder / LOG_FILE).open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(folder), "--parent", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1", **variables},
                start_new_session=True,  # Ctrl-C reaches this process only, which then passes it on once
            )

    def poll(self) -> int | None:
        """Return the exit code, negative if a signal killed the process; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Interrupt the process if it still runs: a training writes a checkpoint, from which the next run continues."""
        if self.poll() is not None:
            return
        try:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(SECONDS_TO_STOP)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C
            self._process.kill()
            self._process.wait()


def run_process(module: str, folder: Path, variables: Mapping[str, str]) -> int:
    """Run a task's process to its end, and return the exit code; an interruption is passed on to it."""
    process = TaskProcess(module, folder, variables)
    try:
        while (code := process.poll()) is None:
            time.sleep(_POLL_SECONDS)
        return code
    finally:
        process.stop()


@contextmanager
def inside_task(folder: Path, parent: int | None) -> Iterator[None]:
    """Do the work of a task in this process, and leave the reason in its folder if it fails.

    Args:
        folder: folder of the task.
        parent: number of the process that started this one, and with which this one ends; None = go on without it.
    """
    if parent is not None:
        die_with(parent)
    _take_interrupts()
    # Deprecations inside nerfstudio, and its logging of losses with gradients: a user cannot fix these.
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad")
    try:
        yield
    except Exception as error:
        known = explainable(error)
        reason = str(known) if known is not None else f"{type(error).__name__}: {error}"
        write_json(folder / FAILURE_FILE, {"reason": reason})
        raise


def failure_of(folder: Path) -> str | None:
    """Return the reason that a failed task left in its folder; None if it left none."""
    content = read_json(folder / FAILURE_FILE)
    return str(content["reason"]) if isinstance(content, dict) and "reason" in content else None


def end_of_log(folder: Path) -> str:
    """Return the last lines of a task's log, for a message on the console."""
    path = folder / LOG_FILE
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return escape("\n".join(lines[-_LINES_OF_LOG:]))


def _take_interrupts() -> None:
    """Let this process be interrupted: Ray blocks the signal in its workers, and their children inherit this."""
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.default_int_handler)
