"""The registry of motion formats: all readers, the choice of a reader for a path, and texts about the formats."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from sage_ns.errors import CaptureError
from sage_ns.system.npz_reader import npz_names
from sage_ns.system.registry import Registry
from sage_ns.system.user_files import check_regular

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion
    from sage_ns.rig import HeadModel

MotionSplit = Literal["all", "train"]


class MotionReader(ABC):
    """One motion format. `load_motion` uses every subclass that is decorated with `register_reader`."""

    name: ClassVar[str]
    """Name of the format in messages and in the table of docs/formats.md; a few words."""
    reads: ClassVar[str]
    """Input that the user gives, for help texts; a noun phrase with its article: "an export folder of VHAP or LAM"."""
    keeps: ClassVar[str]
    """Part of the input that is read, one line for the table of docs/formats.md."""
    programs: ClassVar[tuple[str, ...]]
    """Programs that write the format."""
    specificity: ClassVar[int] = 0
    """If two readers recognise the same path, the one with the larger number reads it. The readers of this package have
    0 to 7; two readers with the same number are an error that names both."""

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Return whether a file or folder has this format, judged by its content. The path exists."""

    @abstractmethod
    def read(self, path: Path, split: MotionSplit) -> Motion:
        """Read the motion of a file or folder.

        Args:
            path: A file or folder that this reader recognises.
            split: "train" leaves out moments that only the source's test split lists; formats without splits ignore it.

        Raises:
            CaptureError: A file is broken, or of another kind.
            FlameParamsError: A field is missing, misshapen or not finite.
        """

    def read_for(self, path: Path, split: MotionSplit, rig: Callable[[], HeadModel]) -> Motion:
        """Read the motion of a file or folder for the rig of an avatar.

        Formats that hold FLAME parameters do not depend on the rig. Formats that do, override this method, and let
        `read` refuse.

        Args:
            path: A file or folder that this reader recognises.
            split: As for `read`.
            rig: Returns the head model of the avatar. It may load the avatar: call it after the file is checked.

        Raises:
            CaptureError, FlameParamsError: As for `read`.
        """
        return self.read(path, split)


_REGISTRY: Registry[MotionReader] = Registry("motion reader", CaptureError)

register_reader = _REGISTRY.register
"""Class decorator: add a reader to `load_motion` and to the texts about motion formats."""


def readers() -> list[MotionReader]:
    """Return all readers, the most specific first."""
    return sorted(_REGISTRY.entries(), key=lambda reader: -reader.specificity)


def reader_for(path: Path) -> MotionReader:
    """Return the reader that recognises a file or folder; if several do, the most specific one.

    Raises:
        CaptureError: No reader recognises the path, or two equally specific ones do.
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
            "Give the file or the inner folder, or set different `specificity` in the readers."
        )
    return found[0]


def describe_readers() -> str:
    """Return the inputs of all readers as one phrase for help texts and messages: "a, b or c"."""
    *first, last = (reader.reads for reader in readers())
    return f"{', '.join(first)} or {last}" if first else last


def formats_table() -> str:
    """Return the table of motion formats in docs/formats.md, as Markdown."""
    lines = ["| format | input | written by | data read |", "|---|---|---|---|"]
    for reader in readers():
        lines.append(f"| {reader.name} | {reader.reads} | {', '.join(reader.programs)} | {reader.keeps} |")
    return "\n".join(lines)


def _contents(path: Path) -> str:
    """Describe the content of a path that no reader recognises."""
    if path.is_dir():
        return f"no motion in this folder (found {_listing(sorted(each.name for each in path.iterdir()))})"
    names = npz_names(path)
    if names is None:
        return f"a file of the unknown kind '{path.suffix}'"
    return f"no motion in this file (found the fields {_listing(sorted(names))})"


def _listing(names: list[str]) -> str:
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "") if names else "nothing"
