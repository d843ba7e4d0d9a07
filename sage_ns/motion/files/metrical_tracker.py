"""Motion of metrical-tracker's checkpoints, see `sage_ns.capture.tracker_checkpoints` for the format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sage_ns.motion.files.moment_files import timesteps_of
from sage_ns.motion.files.registry import MotionReader, MotionSplit, register_reader

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion

_SUFFIX = ".frame"


@register_reader
class MetricalTracker(MotionReader):
    """A `.frame` file, or a folder that contains such files directly or in its folder `checkpoint`."""

    name = "metrical-tracker"
    reads = "an actor's folder of metrical-tracker"
    keeps = "jaw, eyes and expression of the checkpoints; the tracker keeps the head still"
    programs = ("metrical-tracker (`checkpoint/*.frame`)",)
    specificity = 4
    """INSTA's folders also have transforms, but these list no parameters."""

    def recognises(self, path: Path) -> bool:
        """Return whether the path is or contains `.frame` files."""
        return bool(_checkpoints(path))

    def read(self, path: Path, split: MotionSplit) -> Motion:
        """Read one moment from every checkpoint; together they are one sequence."""
        import torch

        from sage_ns.capture.tracker_checkpoints import load_tracker_checkpoints
        from sage_ns.motion.motion import Motion
        from sage_ns.rig import in_time_order

        paths = in_time_order(_checkpoints(path))
        params, num_closed = load_tracker_checkpoints(paths)
        notes = ()
        if num_closed:
            notes = (
                f"metrical-tracker moved the eyelids at {num_closed} of {len(paths)} timesteps by blendshapes of its "
                "own, which the head model does not have: these blinks are lost",
            )
        return Motion.of(params, path, torch.tensor(timesteps_of(paths)), notes=notes)


def _checkpoints(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == _SUFFIX else []
    return list((path / "checkpoint").glob(f"*{_SUFFIX}")) or list(path.glob(f"*{_SUFFIX}"))
