"""Motion of metrical-tracker's checkpoints, see `sage_ns.capture.tracker_checkpoints` for the format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sage_ns.motion.files.moment_files import timesteps_of
from sage_ns.motion.files.registry import MotionReader, MotionSplit, register_reader

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion
    from sage_ns.rig import HeadModel

_SUFFIX = ".frame"


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
        return bool(_checkpoints(path))

    def read(self, path: Path, split: MotionSplit) -> Motion:
        """Read one moment from every checkpoint; together they are one sequence."""
        return _read(path, None)

    def read_for(self, path: Path, split: MotionSplit, rig: Callable[[], HeadModel]) -> Motion:
        """Read the checkpoints, with the coefficients of the eyelids if the rig has eyelids."""
        return _read(path, rig)


def _read(path: Path, rig: Callable[[], HeadModel] | None) -> Motion:
    from dataclasses import replace

    import torch

    from sage_ns.capture.tracker_checkpoints import load_tracker_checkpoints, num_moved_eyelids
    from sage_ns.motion.motion import Motion
    from sage_ns.rig import in_time_order
    from sage_ns.rig.eyelids import has_eyelids, with_eyelid_motion

    paths = in_time_order(_checkpoints(path))
    params, eyelids = load_tracker_checkpoints(paths)
    num_moved = num_moved_eyelids(eyelids)
    notes = ()
    # Only where eyelids move does it matter what the rig has, and the avatar must be loaded.
    model = rig() if num_moved and rig is not None else None
    if model is not None and has_eyelids(model):
        params = replace(params, expr=with_eyelid_motion(params.expr, eyelids, model))
    elif num_moved:
        notes = (
            f"metrical-tracker moved the eyelids at {num_moved} of {len(paths)} timesteps by blendshapes of its "
            "own, which the head model does not have: these blinks are lost",
        )
    return Motion.of(params, path, torch.tensor(timesteps_of(paths)), notes=notes)


def _checkpoints(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == _SUFFIX else []
    return list((path / "checkpoint").glob(f"*{_SUFFIX}")) or list(path.glob(f"*{_SUFFIX}"))
