"""The registry of splat formats: all writers by name, and texts about the formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from sage_ns.errors import SageError

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


Writer = TypeVar("Writer", bound=SplatWriter)
_WRITERS: dict[str, SplatWriter] = {}


def register_writer(writer: type[Writer]) -> type[Writer]:
    """Class decorator: add a writer to ``sage-export splats`` and to the texts about splat formats.

    Raises:
        SageError: Another writer has the same name. (The same class again, as in a notebook, replaces itself.)
    """
    known = _WRITERS.get(writer.name)
    if known is not None and _place(type(known)) != _place(writer):
        raise SageError(
            f"splat writer {_place(writer)}: name '{writer.name}' is taken by {_place(type(known))}. Choose another "
            "name."
        )
    _WRITERS[writer.name] = writer()
    return writer


def writers() -> list[SplatWriter]:
    """Return all writers, in the order of their names."""
    return sorted(_WRITERS.values(), key=lambda writer: writer.name)


def writer_of(name: str) -> SplatWriter:
    """Return the writer of a format.

    Raises:
        SageError: There is no format of that name; lists all names.
    """
    if name not in _WRITERS:
        raise SageError(f"splat format '{name}': choose one of {', '.join(writer.name for writer in writers())}")
    return _WRITERS[name]


def describe_writers() -> str:
    """Return the names and summaries of all formats, for help texts: "2dgs: PLY of discs. gltf: ..."."""
    return ". ".join(f"{writer.name}: {writer.summary}" for writer in writers())


def writers_table() -> str:
    """Return the table of splat formats in docs/formats.md, as Markdown."""
    lines = ["| `--format` | file | holds | for |", "|---|---|---|---|"]
    for writer in writers():
        lines.append(f"| `{writer.name}` | `{writer.suffix}` | {writer.holds} | {writer.programs} |")
    return "\n".join(lines)


def _place(writer: type[SplatWriter]) -> str:
    return f"{writer.__module__}.{writer.__qualname__}"
