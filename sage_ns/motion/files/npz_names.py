"""Whether an npz file holds motion, from its table of contents alone."""

from __future__ import annotations

from pathlib import Path

from sage_ns.system.npz_reader import npz_names


def may_hold_motion(path: Path) -> bool:
    """Return whether a file is an npz with fields of FLAME's motion, or a broken .npz, which the reader reports."""
    from sage_ns.rig.flame_files import MOTION_SHAPES

    names = npz_names(path)
    return path.suffix == ".npz" if names is None else not names.isdisjoint(MOTION_SHAPES)
