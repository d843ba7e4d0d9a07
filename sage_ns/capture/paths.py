"""Paths that the JSON files of a capture name: read as their writers meant them, and kept within the capture."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sage_ns.errors import CaptureError
from sage_ns.system.json_files import shown

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

_LONGEST = 4096
"""Characters of a path: Linux takes no longer one, and an error would quote it whole."""
_WINDOWS_ROOT = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_FOLDERS_OF_A_SEQUENCE = ("images", "fg_masks", "flame_param")


def absolute_path(folder: Path, name: object, field: str, source: str) -> Path:
    """Return the absolute path that ``name`` means relative to ``folder``, without ``..`` in it.

    Backslashes separate folders, as on Windows, unless a file has that very name.

    Args:
        folder: folder of the JSON file. It should be resolved, so that ``../sibling`` of a symlinked union folder is
            the right sibling.
        name: value from the JSON file.
        field: its key, for messages.
        source: file and frame, for messages.

    Raises:
        CaptureError: ``name`` is no path, or leads out of the capture: neither into ``folder`` nor into a sequence
            beside it.
    """
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST or not _is_encodable(name):
        raise CaptureError(f"{source}: '{field}' is {shown(name)}; expected a path relative to the file's folder.")
    if not os.path.lexists(folder / name):
        if _WINDOWS_ROOT.match(name):
            raise _outside(name, field, source)
        name = name.replace("\\", "/")
    path = Path(os.path.normpath(folder / name))
    if not _is_within_reach(path, folder) and not _is_within_reach(Path(os.path.realpath(path)), folder):
        raise _outside(name, field, source)
    return path


class FolderListing:
    """Names in the folders of a capture, each folder read once: finds images whose suffix the capture spells otherwise.

    Blender and INSTA leave the suffix away; cameras and Windows programs write it in upper case.
    """

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, str]] = {}

    def image(self, path: Path) -> Path:
        """Return the existing image that a path means, with its suffix as it is on the disk; else ``path`` itself."""
        if path.parent not in self._names:
            self._names[path.parent] = self._read(path.parent)
        names = self._names[path.parent]
        if names.get(path.name) == path.name:
            return path
        for name in (path.name, *(path.name + suffix for suffix in IMAGE_SUFFIXES)):
            found = names.get(_with_lower_suffix(name))
            if found is not None:
                return path.with_name(found)
        return path

    @staticmethod
    def _read(folder: Path) -> dict[str, str]:
        try:
            names = os.listdir(folder)
        except OSError:
            names = []
        # Exact names last: they win over names that differ in the suffix alone.
        return {_with_lower_suffix(name): name for name in names} | {name: name for name in names}


def files_beside(path: Path) -> list[str]:
    """Return the names in a path's folder that differ from its own in the suffix alone, or in upper and lower case."""
    try:
        names = sorted(os.listdir(path.parent))
    except OSError:
        return []
    wanted = {path.stem.lower(), path.name.lower()}
    return [name for name in names if name != path.name and {Path(name).stem.lower(), name.lower()} & wanted]


def _with_lower_suffix(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem + suffix.lower()


def _is_encodable(name: str) -> bool:
    """Whether the operating system can have a file of this name: no null character, no half of a character."""
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _is_within_reach(path: Path, folder: Path) -> bool:
    if path.is_relative_to(folder):
        return path != folder
    if not path.is_relative_to(folder.parent):
        return False
    inner = path.relative_to(folder.parent).parts
    sibling = folder.parent / inner[0] if inner else folder.parent
    return len(inner) > 1 and (not sibling.exists() or _is_sequence(sibling))


def _is_sequence(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in _FOLDERS_OF_A_SEQUENCE) or any(folder.glob("transforms*.json"))


def _outside(name: str, field: str, source: str) -> CaptureError:
    return CaptureError(
        f"{source}: '{field}' is {shown(name)}, which leads out of the capture. Expected a path in the file's folder, "
        "or in a sequence beside it (../SEQUENCE/...); copy the file into the capture."
    )
