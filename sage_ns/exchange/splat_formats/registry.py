"""The registry of splat formats: all writers by name, and texts about the formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from sage_ns.system.registry import Registry

if TYPE_CHECKING:
    from sage_ns.exchange.splats import Splats


class SplatWriter(ABC):
    """One splat format. ``sage-export splats`` offers every subclass that is decorated with `register_writer`."""

    name: ClassVar[str]
    """Value of ``--format``."""
    suffix: ClassVar[str]
    """Suffix of the file name: ".ply"."""
    summary: ClassVar[str]
    """Description for help texts, one line: "PLY that every program reads, surfels as thin ellipsoids"."""
    holds: ClassVar[str]
    """Representation of surfels and colours in the file, for the table of docs/formats.md."""
    programs: ClassVar[str]
    """Programs that read the format, for the table of docs/formats.md."""
    y_down: ClassVar[bool] = False
    """Whether viewers expect the file's y axis to point down. The export then turns splats, unless the user chooses
    the capture's own axes."""

    @abstractmethod
    def write(self, path: Path, splats: Splats) -> None:
        """Write splats to a file without changing their axes. An error leaves no partial file."""


_REGISTRY: Registry[SplatWriter] = Registry("splat format")

register_writer = _REGISTRY.register
"""Class decorator: add a writer to ``sage-export splats`` and to the texts about splat formats."""


def writers() -> list[SplatWriter]:
    """Return all writers, in the order of their names."""
    return _REGISTRY.entries()


def writer_of(name: str) -> SplatWriter:
    """Return the writer of a format.

    Raises:
        SageError: There is no format of that name; lists all names.
    """
    return _REGISTRY[name]


def describe_writers() -> str:
    """Return the names and summaries of all formats, for help texts: "2dgs: PLY of discs. gltf: ..."."""
    return ". ".join(f"{writer.name}: {writer.summary}" for writer in writers())


def writers_table() -> str:
    """Return the table of splat formats in docs/formats.md, as Markdown."""
    lines = ["| `--format` | file | holds | for |", "|---|---|---|---|"]
    for writer in writers():
        lines.append(f"| `{writer.name}` | `{writer.suffix}` | {writer.holds} | {writer.programs} |")
    return "\n".join(lines)
