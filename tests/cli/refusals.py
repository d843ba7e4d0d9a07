"""What commands that start jobs must do with options that cannot be used, and with jobs that fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("a job was started")


def assert_refused(
    main: Callable[[list[str]], None],
    arguments: list[str],
    message: str,
    captures: Path,
    out: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Asserts that a command ends with exit code 1 and the message, starts no job, and writes nothing."""
    before = sorted(captures.rglob("*"))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stopped:
        patch.setattr("sage_ns.jobs.workplace.ThisMachine.start", refuse)
        main(arguments)
    assert stopped.value.code == 1
    assert message in " ".join(capsys.readouterr().out.split())
    assert not out.exists() and sorted(captures.rglob("*")) == before


def output_of_broken_jobs(
    main: Callable[[list[str]], None], arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> str:
    """Runs a command whose jobs all print a line and end with exit code 3; returns what it prints."""
    program = folder / "python"
    program.write_text("#!/bin/sh\necho something is broken\nexit 3\n")
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stopped:
        patch.setattr("sage_ns.jobs.process.sys.executable", str(program))
        main(arguments)
    assert stopped.value.code == 1
    printed = capsys.readouterr().out
    assert printed.count("something is broken") == printed.count("failed (exit code 3)")
    return printed
