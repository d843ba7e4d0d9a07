"""What an npz file holds, from its table of contents alone."""

from __future__ import annotations

import zipfile
from pathlib import Path


def npz_names(path: Path) -> frozenset[str] | None:
    """Names of the arrays in an npz file, whatever its ending; None where the file is no npz, or a broken one."""
    try:
        with zipfile.ZipFile(path) as file:
            members = file.namelist()
    except (OSError, zipfile.BadZipFile):
        return None
    names = frozenset(name.removesuffix(".npy") for name in members if name.endswith(".npy"))
    return names or None


def may_hold_motion(path: Path) -> bool:
    """Whether a file is an npz with fields of FLAME's motion. A broken npz may: reading it says what is wrong."""
    from sage_ns.rig.flame_files import MOTION_SHAPES

    names = npz_names(path)
    return path.suffix == ".npz" if names is None else not names.isdisjoint(MOTION_SHAPES)
