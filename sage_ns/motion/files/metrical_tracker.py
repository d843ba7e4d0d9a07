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
    """A `.frame` file, or a folder with such files in it or in its folder `checkpoint`."""

    name = "metrical-tracker"
    reads = "an actor's folder of metrical-tracker"
    keeps = "jaw, eyes and expression of its checkpoints; the tracker keeps the head still"
    programs = ("metrical-tracker (`checkpoint/*.frame`)",)
    specificity = 4
    """INSTA's folders have transforms, too, but those list no parameters."""

    def recognises(self, path: Path) -> bool:
        """Whether there are `.frame` files."""
        return bool(_checkpoints(path))

    def read(self, path: Path, split: MotionSplit) -> Motion:
        """Read every checkpoint as one moment of one sequence."""
        import torch

        from sage_ns.capture.tracker_checkpoints import load_tracker_checkpoints
        from sage_ns.motion.motion import Motion
        from sage_ns.rig import in_time_order

        paths = in_time_order(_checkpoints(path))
        params, num_closed = load_tracker_checkpoints(paths)
        notes = ()
        if num_closed:
            notes = (
                f"eyelids at {num_closed} of {len(paths)} timesteps were moved by metrical-tracker's own blendshapes, "
                "which the head model does not have: blinks are lost",
            )
        return Motion.of(params, path, torch.tensor(timesteps_of(paths)), notes=notes)


def _checkpoints(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == _SUFFIX else []
    return list((path / "checkpoint").glob(f"*{_SUFFIX}")) or list(path.glob(f"*{_SUFFIX}"))
