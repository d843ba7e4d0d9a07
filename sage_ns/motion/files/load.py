"""Reading motion of any format that a reader is registered for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sage_ns.motion.files.registry import MotionSplit, reader_for

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion
    from sage_ns.rig import HeadModel


def load_motion(path: Path | str, model: HeadModel | None = None, split: MotionSplit = "all") -> Motion:
    """Read motion; `describe_readers` says from what, and `register_reader` adds a format.

    Only pose and expression are kept, never the head shape of the driver.

    Args:
        path: Folder or file.
        model: Head model that the motion has to fit: expressions are filled up with zeros to its number, and surplus
            ones may be cut if they are zeros. None takes the motion as it is.
        split: "train" leaves out what an export folder lists for testing alone. Other sources have no splits.

    Raises:
        CaptureError: There is no motion at `path`, or a file of it is broken or of another kind; names it.
        FlameParamsError: A field is missing, misshapen or not finite, lengths disagree, or more expression
            coefficients are in use than the head model has.
    """
    path = Path(path).expanduser()
    motion = reader_for(path).read(path, split)
    return motion if model is None else motion.fitted(model)
