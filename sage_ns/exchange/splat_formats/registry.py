"""The registry of splat formats: what can be written, by which name, and texts about all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from sage_ns.errors import SageError

if TYPE_CHECKING:
    from sage_ns.exchange.splats import Splats


class SplatWriter(ABC):
    """One splat format. Decorate a subclass with `register_writer`, and ``sage-export splats`` offers it."""

    name: ClassVar[str]
    """What ``--format`` takes."""
    suffix: ClassVar[str]
    """How a file's name ends: ".ply"."""
    summary: ClassVar[str]
    """What it is, one line for help texts: "PLY that every program reads, surfels as thin ellipsoids"."""
    holds: ClassVar[str]
    """What becomes of surfels and colours, for the table of docs/formats.md."""
    programs: ClassVar[str]
    """Who reads it, for the table of docs/formats.md."""
    y_down: ClassVar[bool] = False
    """Whether viewers take the file's y axis to point down. Splats are turned for them unless the user wants them in
    the capture's own axes."""

    @abstractmethod
    def write(self, path: Path, splats: Splats) -> None:
        """Write splats to a file, whole or not at all, in the axes that they have."""


Writer = TypeVar("Writer", bound=SplatWriter)
_WRITERS: dict[str, SplatWriter] = {}


def register_writer(writer: type[Writer]) -> type[Writer]:
    """Class decorator: ``sage-export splats`` and the texts about splat formats know the writer from here on.

    Raises:
        SageError: Another writer has the same name. (The same class again, as in a notebook, takes its own place.)
    """
    known = _WRITERS.get(writer.name)
    if known is not None and _place(type(known)) != _place(writer):
        raise SageError(
            f"splat writer {_place(writer)}: the name '{writer.name}' is taken by {_place(type(known))}; choose another"
        )
    _WRITERS[writer.name] = writer()
    return writer


def writers() -> list[SplatWriter]:
    """All writers, in the order of their names."""
    return sorted(_WRITERS.values(), key=lambda writer: writer.name)


def writer_of(name: str) -> SplatWriter:
    """The writer of a format.

    Raises:
        SageError: There is none of that name; lists those that there are.
    """
    if name not in _WRITERS:
        raise SageError(f"splat format '{name}': choose one of {', '.join(writer.name for writer in writers())}")
    return _WRITERS[name]


def describe_writers() -> str:
    """The formats and what they are, for help texts: "2dgs: PLY of discs. gltf: ..."."""
    return ". ".join(f"{writer.name}: {writer.summary}" for writer in writers())


def writers_table() -> str:
    """The table of splat formats in docs/formats.md, as Markdown."""
    lines = ["| `--format` | file | holds | for |", "|---|---|---|---|"]
    for writer in writers():
        lines.append(f"| `{writer.name}` | `{writer.suffix}` | {writer.holds} | {writer.programs} |")
    return "\n".join(lines)


def _place(writer: type[SplatWriter]) -> str:
    return f"{writer.__module__}.{writer.__qualname__}"
