"""Names of the arrays in an npz file, read without loading them."""

from __future__ import annotations

import zipfile
from pathlib import Path


def npz_names(path: Path) -> frozenset[str] | None:
    """Return the names of the arrays in an npz file with any suffix; None if the file is broken or not an npz."""
    try:
        with zipfile.ZipFile(path) as file:
            members = file.namelist()
    except (OSError, zipfile.BadZipFile):
        return None
    names = frozenset(name.removesuffix(".npy") for name in members if name.endswith(".npy"))
    return names or None


def may_hold_motion(path: Path) -> bool:
    """Return whether a file is an npz with fields of FLAME's motion, or a broken .npz, which the reader reports."""
    from sage_ns.rig.flame_files import MOTION_SHAPES

    names = npz_names(path)
    return path.suffix == ".npz" if names is None else not names.isdisjoint(MOTION_SHAPES)
