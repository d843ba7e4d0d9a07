"""Motion in the files of VHAP's tracker, before an export: `tracked_flame_params_{epoch}.npz`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sage_ns.errors import FlameParamsError
from sage_ns.motion.files.npz_names import may_hold_motion
from sage_ns.motion.files.registry import MotionReader, MotionSplit, register_reader
from sage_ns.system.npz_reader import npz_names

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion

_FILE = "tracked_flame_params"
_OWN_FIELDS = ("n_processed_frames", "timestep_id")
"""Fields that only the tracker's files have."""


@register_reader
class VhapTracker(MotionReader):
    """An npz file with fields of VHAP's tracker, or a folder of these files, of which the last epoch is read."""

    name = "VHAP tracker"
    reads = "a tracked_flame_params_*.npz of VHAP"
    keeps = "the tracked moments; the reader subtracts the mean translation, as VHAP's export does"
    programs = ("VHAP",)
    specificity = 2
    """Also an npz of a whole sequence, but with the tracker's own fields or name."""

    def recognises(self, path: Path) -> bool:
        """Return whether the npz has the tracker's own fields or file name."""
        if path.is_dir():
            return any(path.glob(f"{_FILE}*.npz"))
        own = not (npz_names(path) or frozenset()).isdisjoint(_OWN_FIELDS)
        return may_hold_motion(path) and (own or path.name.startswith(_FILE))

    def read(self, path: Path, split: MotionSplit) -> Motion:
        """Read the file; rows that the tracker has not reached are left out with a note."""
        import numpy as np

        from sage_ns.motion.motion import Motion
        from sage_ns.rig import FlameParams, in_time_order
        from sage_ns.system.array_fields import ArrayFields, read_npz

        path = in_time_order(path.glob(f"{_FILE}*.npz"))[-1] if path.is_dir() else path
        params = FlameParams.load(path, identity=())
        arrays = read_npz(path, FlameParamsError, ("n_processed_frames",))
        notes = ()
        if "n_processed_frames" in arrays:
            flat = {name: np.reshape(value, -1) for name, value in arrays.items()}
            read = ArrayFields(str(path), flat, FlameParamsError)
            num_tracked = int(read.indices("n_processed_frames", "1")[0])
            if not 0 < num_tracked <= params.num_timesteps:
                expected = f"1..{params.num_timesteps}, the number of timesteps"
                raise read.fail("n_processed_frames", str(num_tracked), expected)
            if num_tracked < params.num_timesteps:
                notes = (f"{params.num_timesteps - num_tracked} timesteps were never tracked and are left out",)
                params = params[:num_tracked]
        centred = params.translation - params.translation.mean(dim=0)
        return Motion.of(replace(params, translation=centred), path, notes=notes)
