"""The registry of files that state cameras, and the choice of a file beside pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from sage_ns.errors import CaptureError
from sage_ns.system.registry import Registry
from sage_ns.tracking.cameras.rig_camera import CameraRig


class CameraReader(ABC):
    """A kind of file or folder that states cameras."""

    name: ClassVar[str]
    """Short, in words, for messages and the report."""
    places: ClassVar[tuple[str, ...]]
    """Where it lies in a folder of pictures: file names, or folders with "/" at the end."""
    states: ClassVar[str]
    """What it states, for the table of docs/tracking.md."""

    def find(self, folder: Path) -> list[Path]:
        """Return what lies in a folder of pictures and has this kind."""
        return [path for place in self.places if (path := folder / place).exists() and self.recognises(path)]

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Return whether a file or folder that exists is of this kind, by its name or its content."""

    @abstractmethod
    def read(self, path: Path) -> CameraRig:
        """Read all cameras.

        Raises:
            CaptureError: a field is missing, broken or ambiguous; names file, camera and field.
        """


_REGISTRY: Registry[CameraReader] = Registry("reader of cameras", CaptureError)

register_reader = _REGISTRY.register
"""Class decorator: add a kind of file."""


def camera_readers() -> list[CameraReader]:
    """Return all readers, in the order of their names."""
    return _REGISTRY.entries()


def read_cameras(path: Path) -> CameraRig:
    """Read the cameras of a file or folder that the user names.

    Raises:
        CaptureError: it does not exist, is of no known kind, or is broken.
    """
    if not path.exists():
        raise CaptureError(f"{path}: no such file or folder. Give {_kinds()}.")
    for reader in camera_readers():
        if reader.recognises(path):
            return reader.read(path)
    raise CaptureError(f"{path} states no cameras that can be read. Give {_kinds()}.")


def find_cameras(folder: Path) -> CameraRig | None:
    """Read the cameras that lie beside pictures; None if nothing there states any.

    Args:
        folder: of the pictures.

    Raises:
        CaptureError: several files state cameras, or the one is broken.
    """
    found = [(reader, path) for reader in camera_readers() for path in reader.find(folder)]
    if len(found) > 1:
        names = " and ".join(str(path) for _, path in found)
        raise CaptureError(f"{folder}: {names} state cameras. Say which ones hold: --cameras FILE.")
    return found[0][0].read(found[0][1]) if found else None


def readers_table() -> str:
    """Return the kinds of files as a table for docs/tracking.md."""
    rows = [f"| {', '.join(f'`{each}`' for each in reader.places)} | {reader.states} |" for reader in camera_readers()]
    return "\n".join(["| beside the pictures | states |", "|---|---|", *rows])


def _kinds() -> str:
    return ", or ".join(f"{reader.name} ({' or '.join(reader.places)})" for reader in camera_readers())
