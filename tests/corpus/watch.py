"""Run the corpus in processes that may crash or hang, and collect what went wrong."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

ROOT = Path(__file__).parents[2]
HANG_SECONDS = 60.0
"""When a process is given up: a busy machine may take longer than the ten seconds of its processor that a case has."""
_START_SECONDS = 1200.0


@dataclass
class Findings:
    """What came of the cases."""

    num_cases: dict[str, int] = field(default_factory=dict)
    """by subject"""
    faults: dict[str, list[str]] = field(default_factory=dict)
    """by subject: label and fault"""


class _Hung(Exception):
    """A process does not answer."""


class _Process:
    """A worker, and the cases that it offers."""

    def __init__(self, extent: str) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="sage-corpus-")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.corpus.worker", self.folder.name, extent],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._pending = b""
        try:
            offered = self._answer(_START_SECONDS)
        except EOFError:
            raise RuntimeError("the corpus cannot be made: python -m tests.corpus.cases '' --quick says why") from None
        self.cases: list[tuple[str, str]] = [(name, label) for name, label in offered]

    def run(self, index: int) -> str | None:
        """Return the fault of a case.

        Raises:
            EOFError: the process has crashed.
            _Hung: it does not answer.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{index}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise EOFError from None
        return self._answer(HANG_SECONDS)

    def end(self) -> int:
        """End the process; return its exit code."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()
        return self.process.returncode

    def _answer(self, seconds: float) -> Any:
        assert self.process.stdout is not None
        output = self.process.stdout.fileno()
        while b"\n" not in self._pending:
            if not select.select([output], [], [], seconds)[0]:
                self.process.kill()
                raise _Hung
            read = os.read(output, 1 << 16)
            if not read:
                raise EOFError
            self._pending += read
        line, self._pending = self._pending.split(b"\n", 1)
        return json.loads(line)


def run_corpus(extent: str, num_workers: int) -> Findings:
    """Run all cases of the corpus; a case that ends or hangs its process is one that went wrong."""
    findings, lock = Findings(), Lock()
    first = _Process(extent)
    waiting = list(range(len(first.cases)))[::-1]
    for subject, _ in first.cases:
        findings.num_cases[subject] = findings.num_cases.get(subject, 0) + 1

    def serve(process: _Process | None) -> None:
        process = process or _Process(extent)
        while True:
            with lock:
                if not waiting:
                    break
                index = waiting.pop()
            try:
                fault = process.run(index)
            except _Hung:
                process.end()
                fault, process = f"no end within {HANG_SECONDS:.0f} s", _Process(extent)
            except EOFError:
                fault, process = f"the process ended with {_ending(process.end())}", _Process(extent)
            if fault is not None:
                subject, label = first.cases[index]
                with lock:
                    findings.faults.setdefault(subject, []).append(f"{label}: {fault}")
        process.end()

    with ThreadPoolExecutor(num_workers) as pool:
        list(pool.map(serve, [first, *[None] * (num_workers - 1)]))
    return findings


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
