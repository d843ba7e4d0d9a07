"""Motion of metrical-tracker's checkpoints, see `sage_ns.capture.tracker_checkpoints` for the format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sage_ns.motion.files.registry import MotionReader, MotionSplit, register_reader

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion
    from sage_ns.rig import HeadModel


@register_reader
class MetricalTracker(MotionReader):
    """A `.frame` file, or a folder that contains such files directly or in its folder `checkpoint`."""

    name = "metrical-tracker"
    reads = "an actor's folder of metrical-tracker"
    keeps = "jaw, eyes and expression, and the eyelids for rigs that have them; the tracker keeps the head still"
    programs = ("metrical-tracker (`checkpoint/*.frame`)",)
    specificity = 4
    """INSTA's folders also have transforms, but these list no parameters."""

    def recognises(self, path: Path) -> bool:
        """Return whether the path is or contains `.frame` files."""
        from sage_ns.capture.tracker_checkpoints import checkpoints_in

        return bool(checkpoints_in(path))

    def read(self, path: Path, split: MotionSplit) -> Motion:
        """Read one moment from every checkpoint; together they are one sequence."""
        return _read(path, None)

    def read_for(self, path: Path, split: MotionSplit, rig: Callable[[], HeadModel]) -> Motion:
        """Read the checkpoints, with the coefficients of the eyelids if the rig has eyelids."""
        return _read(path, rig)


def _read(path: Path, rig: Callable[[], HeadModel] | None) -> Motion:
    import torch

    from sage_ns.capture.tracker_checkpoints import checkpoints_in, load_tracker_checkpoints
    from sage_ns.motion.files.lids import with_lids
    from sage_ns.motion.motion import Motion
    from sage_ns.rig import in_time_order
    from sage_ns.rig.flame_files import timesteps_of

    paths = in_time_order(checkpoints_in(path))
    params, eyelids = load_tracker_checkpoints(paths)
    params, notes = with_lids(params, eyelids, rig, "metrical-tracker")
    return Motion.of(params, path, torch.tensor(timesteps_of(paths)), notes=notes)
