"""The registry of motion formats: what can be read, which reader is for a path, and texts about all of them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from sage_ns.errors import CaptureError
from sage_ns.system.npz_reader import npz_names
from sage_ns.system.user_files import check_regular

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion

MotionSplit = Literal["all", "train"]


class MotionReader(ABC):
    """One motion format. Decorate a subclass with `register_reader`, and `load_motion` reads what it recognises."""

    name: ClassVar[str]
    """A few words, for messages and the table of docs/formats.md."""
    reads: ClassVar[str]
    """What a user gives, for help texts; a noun phrase with its article: "an export folder of VHAP or LAM"."""
    keeps: ClassVar[str]
    """What becomes of it, one line for the table."""
    programs: ClassVar[tuple[str, ...]]
    """Programs that write the format."""
    specificity: ClassVar[int] = 0
    """Of two readers that recognise the same path, the one with the larger number reads. The readers of this package
    have 0 to 4; two with the same number are an error that names both."""

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Whether a file or folder holds this format, judged by what it contains. The path exists."""

    @abstractmethod
    def read(self, path: Path, split: MotionSplit) -> Motion:
        """Read it.

        Args:
            path: A file or folder that this reader recognises.
            split: "train" leaves out what the source lists for testing alone; formats without splits ignore it.

        Raises:
            CaptureError: A file is broken, or of another kind.
            FlameParamsError: A field is missing, misshapen or not finite.
        """


Reader = TypeVar("Reader", bound=MotionReader)
_READERS: dict[str, MotionReader] = {}


def register_reader(reader: type[Reader]) -> type[Reader]:
    """Class decorator: `load_motion` and the texts about motion formats know the reader from here on.

    Raises:
        CaptureError: Another reader has the same name. (The same class again, as in a notebook, takes its own place.)
    """
    known = _READERS.get(reader.name)
    if known is not None and _place(type(known)) != _place(reader):
        raise CaptureError(
            f"motion reader {_place(reader)}: name '{reader.name}' is taken by {_place(type(known))}. Choose another."
        )
    _READERS[reader.name] = reader()
    return reader


def readers() -> list[MotionReader]:
    """All readers, the most specific first."""
    return sorted(_READERS.values(), key=lambda reader: (-reader.specificity, reader.name))


def reader_for(path: Path) -> MotionReader:
    """The reader that recognises a file or folder; the most specific one, if there are several.

    Raises:
        CaptureError: None recognises it, or two that are equally specific do.
    """
    if not os.path.lexists(path):
        raise CaptureError(f"{path}: no such file or folder. Give {describe_readers()}.")
    if not path.is_dir():
        check_regular(path, CaptureError, f"Give {describe_readers()}.")
    found = [reader for reader in readers() if reader.recognises(path)]
    if not found:
        raise CaptureError(f"{path}: {_contents(path)}. Give {describe_readers()}.")
    rivals = [reader for reader in found[1:] if reader.specificity == found[0].specificity]
    if rivals:
        raise CaptureError(
            f"{path}: this could be '{found[0].name}' ({found[0].reads}) or '{rivals[0].name}' ({rivals[0].reads}). "
            "Give the file or inner folder that is meant, or set the readers' `specificity` apart."
        )
    return found[0]


def describe_readers() -> str:
    """What can be read, as one phrase for help texts and messages: "a, b or c"."""
    *first, last = (reader.reads for reader in readers())
    return f"{', '.join(first)} or {last}" if first else last


def formats_table() -> str:
    """The table of motion formats in docs/formats.md, as Markdown."""
    lines = ["| format | give | written by | what is read |", "|---|---|---|---|"]
    for reader in readers():
        lines.append(f"| {reader.name} | {reader.reads} | {', '.join(reader.programs)} | {reader.keeps} |")
    return "\n".join(lines)


def _contents(path: Path) -> str:
    """What is at a path that no reader recognises."""
    if path.is_dir():
        return f"no motion in this folder (found {_listing(sorted(each.name for each in path.iterdir()))})"
    names = npz_names(path)
    if names is None:
        return f"a file of the unknown kind '{path.suffix}'"
    return f"no motion in this file (found the fields {_listing(sorted(names))})"


def _listing(names: list[str]) -> str:
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "") if names else "nothing"


def _place(reader: type[MotionReader]) -> str:
    return f"{reader.__module__}.{reader.__qualname__}"
