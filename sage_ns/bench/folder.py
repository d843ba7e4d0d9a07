"""The folder of a benchmark: one set of settings, and captures with different names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sage_ns.bench.job import Settings
from sage_ns.errors import SageError
from sage_ns.system.files import write_json
from sage_ns.system.leftovers import is_unfinished
from sage_ns.system.processes import LOCK_FILE, locked_folder
from sage_ns.system.typed_json import load_typed

BENCHMARK_FILE = "benchmark.json"
PEOPLE_FOLDER = "people"
"""Folder of the captures of a panel, inside that of the benchmark."""


@dataclass(frozen=True)
class BenchmarkFolder:
    """Folder of a benchmark, whose settings and captures are stored in ``benchmark.json``."""

    path: Path

    def check_captures(self, captures: Sequence[Path]) -> None:
        """Check that there are captures and that their names differ.

        Raises:
            SageError: there are no captures, or two have the same name.
        """
        check_names(captures, "--out")

    @contextmanager
    def claimed(self, captures: Sequence[Path], settings: Settings) -> Iterator[None]:
        """Reserve the folder for a benchmark with these settings, and lock it against other processes.

        Args:
            captures: absolute folders.
            settings: settings with the chosen preset instead of auto.

        Raises:
            SageError: the folder has other content, belongs to another benchmark or is in use; nothing has been
                written.
        """
        self._claim(captures, settings)
        with locked_folder(self.path, "sage-bench"):
            self._write(self._claim(captures, settings))  # again: another process may have written since
            yield

    def _claim(self, captures: Sequence[Path], settings: Settings) -> _Content:
        """Return the content of the folder's file with these captures; writes nothing."""
        if self.path.exists() and not self.path.is_dir():
            raise SageError(f"--out {self.path} is a file. Name a folder.")
        mine = {name: getattr(settings, name) for name in ("preset", "steps", "downscale_factor")}
        if os.path.lexists(self.path / BENCHMARK_FILE):
            content = self._content()
        else:
            if self.path.is_dir() and any(not is_own(path) for path in self.path.iterdir()):
                raise SageError(f"--out {self.path} is not empty and not a folder of sage-bench. Name another folder.")
            content = _Content(mine, {}, {})
        refuse_other_settings(f"--out {self.path} belongs to another benchmark", content.settings, mine, tuple(mine))
        for capture in captures:
            refuse_other_capture(f"--out {self.path}", Path(content.captures.get(capture.name, capture)), capture)
            content.captures[capture.name] = str(capture)
        return content

    def comparison_key(self, capture: Path) -> str | None:
        """Return the fingerprint of the results in the capture's comparison; None if there is no comparison."""
        return self._content().comparisons.get(capture.name)

    def keep_comparison_key(self, capture: Path, key: str) -> None:
        """Store the fingerprint of the results in the capture's comparison."""
        content = self._content()
        content.comparisons[capture.name] = key
        self._write(content)

    def _content(self) -> _Content:
        return load_typed(_Content, self.path / BENCHMARK_FILE, SageError, "Name another folder as --out.")

    def _write(self, content: _Content) -> None:
        write_json(self.path / BENCHMARK_FILE, asdict(content))


@dataclass
class _Content:
    """Content of the folder's file."""

    settings: dict[str, Any]
    captures: dict[str, str]
    """absolute folders by name"""
    comparisons: dict[str, str]
    """fingerprints of the results in the captures' comparisons"""


def check_names(captures: Sequence[Path], option: str) -> None:
    """Check that there are captures and that their names, and so their folders, differ.

    Args:
        captures: folders of captures.
        option: option that names the folder of outputs, for the message.

    Raises:
        SageError: there are no captures, or two have the same name.
    """
    if not captures:
        raise SageError("There is no capture to run on. Name at least one folder.")
    names = [capture.name for capture in captures]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SageError(f"Two captures are called '{twice[0]}'. Rename one, or run them with an {option} of their own.")


def refuse_other_settings(
    problem: str, known: Mapping[str, Any], mine: Mapping[str, Any], names: Sequence[str]
) -> None:
    """Refuse settings that differ from those of a folder's earlier run.

    Args:
        problem: begin of the message.
        known: settings of the earlier run.
        mine: settings of this run.
        names: settings to compare.

    Raises:
        SageError: settings differ; names them.
    """
    different = [f"{name} {known.get(name)}, not {mine[name]}" for name in names if known.get(name) != mine[name]]
    if different:
        advice = "Give the same settings to continue it, or another folder."
        raise SageError(f"{problem}: {'; '.join(different)}. {advice}")


def refuse_other_capture(folder: str, known: Path, capture: Path) -> None:
    """Refuse a capture that has the name of another one in a folder, unless that one has moved.

    Raises:
        SageError: the other one is still there.
    """
    if known != capture and os.path.isdir(known):  # Path.is_dir raises for names that are too long
        raise SageError(
            f"{folder} already has a capture '{capture.name}', from {known}, not {capture}. Name another folder."
        )


def is_own(path: Path) -> bool:
    """Return whether a benchmark or a batch that was killed at its start, or while it drew a panel, has left this."""
    return path.name in (LOCK_FILE, PEOPLE_FOLDER) or is_unfinished(path)
