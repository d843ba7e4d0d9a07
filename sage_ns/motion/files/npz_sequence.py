"""Motion of one npz file with a row per moment: GaussianAvatars' `flame_param.npz`, driving banks and the like."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sage_ns.errors import FlameParamsError
from sage_ns.motion.files.npz_names import may_hold_motion
from sage_ns.motion.files.registry import MotionReader, MotionSplit, register_reader

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion

_INSIDE = "flame_param.npz"
"""GaussianAvatars' name for the file, in the folder of the point cloud."""


@register_reader
class NpzSequence(MotionReader):
    """An npz file with FLAME's fields, or a folder with a `flame_param.npz`."""

    name = "npz sequence"
    reads = "an npz of a whole sequence"
    keeps = (
        "one moment per row of `expr`, `rotation`, `neck_pose`, `jaw_pose`, `eyes_pose` and `translation`; also "
        "`timesteps` and `sequences` if the file has them"
    )
    programs = ("GaussianAvatars (`flame_param.npz`)", "`sage-capture bank`", "`FlameParams.save_vhap`")
    specificity = 1
    """A folder with a flame_param.npz counts as a sequence, not as a folder of single moments."""

    def recognises(self, path: Path) -> bool:
        """Return whether the file has fields of FLAME's motion, or the folder has GaussianAvatars' file."""
        return os.path.lexists(path / _INSIDE) if path.is_dir() else may_hold_motion(path)

    def read(self, path: Path, split: MotionSplit) -> Motion:
        """Read the file. A file without `sequences` is one sequence."""
        from sage_ns.motion.motion import Motion
        from sage_ns.rig import FlameParams
        from sage_ns.system.array_fields import ArrayFields, read_npz

        path = path / _INSIDE if path.is_dir() else path
        params = FlameParams.load(path, identity=())
        arrays = read_npz(path, FlameParamsError, ("sequences", "timesteps"))
        read = ArrayFields(str(path), arrays, FlameParamsError, "Write the bank again.")
        read.sizes["num_timesteps"] = params.num_timesteps
        timesteps, sequences = (
            read.indices(name, "num_timesteps") if name in read else None for name in ("timesteps", "sequences")
        )
        return Motion.of(params, path, timesteps, sequences)
