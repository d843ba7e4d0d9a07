"""Motion of a folder with one npz file per moment, as VHAP and GaussianAvatars write it to `flame_param/`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sage_ns.motion.files.moment_files import read_moment_files
from sage_ns.motion.files.npz_names import may_hold_motion
from sage_ns.motion.files.registry import MotionReader, MotionSplit, register_reader

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion

_NOT_A_MOMENT = "canonical_flame_param.npz"
"""VHAP's file of the identity at rest, beside the folder of the sequence."""


@register_reader
class NpzFolder(MotionReader):
    """A folder of npz files with FLAME's fields, or a folder that contains such a folder named `flame_param`."""

    name = "npz folder"
    reads = "a folder of npz files with one moment each"
    keeps = "one moment per file, in the order of the files' names; names that are numbers give the timestep ids"
    programs = ("VHAP and LAM (`flame_param/`)", "`FlameParams.save_vhap`")

    def recognises(self, path: Path) -> bool:
        """Return whether an npz file of the folder has fields of FLAME's motion."""
        return any(map(may_hold_motion, _moments(path)))

    def read(self, path: Path, split: MotionSplit) -> Motion:
        """Read every file; together they are one sequence."""
        from sage_ns.rig import in_time_order
        from sage_ns.rig.flame_files import timesteps_of

        paths = in_time_order(_moments(path))
        return read_moment_files(path, paths, timesteps_of(paths))


def _moments(folder: Path) -> list[Path]:
    for inner in (folder / "flame_param", folder):
        if paths := [path for path in inner.glob("*.npz") if path.name != _NOT_A_MOMENT]:
            return paths
    return []
