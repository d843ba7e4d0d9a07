"""Loading motion of every registered format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sage_ns.motion.files.registry import MotionSplit, reader_for

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion
    from sage_ns.rig import HeadModel


def load_motion(path: Path | str, model: HeadModel | None = None, split: MotionSplit = "all") -> Motion:
    """Load motion; `describe_readers` lists the formats, and `register_reader` adds one.

    Pose and expression are kept; the driver's head shape is dropped.

    Args:
        path: Folder or file.
        model: Head model that the motion must fit: missing expression coefficients are filled with zeros, surplus ones
            are cut if they are zero. None leaves the motion unchanged.
        split: "train" leaves out moments that only the test split of an export folder lists. Other sources have no
            splits.

    Raises:
        CaptureError: There is no motion at `path`, or a file of it is broken or of another kind; names the file.
        FlameParamsError: A field is missing, misshapen or not finite, lengths disagree, or more expression
            coefficients are in use than the head model has.
    """
    path = Path(path).expanduser()
    motion = reader_for(path).read(path, split)
    return motion if model is None else motion.fitted(model)
