"""Loading motion of every registered format."""

from __future__ import annotations

from collections.abc import Callable
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
            are cut if they are zero, and values that no living head reaches are clamped with a note (`MotionLimits`).
            None leaves the motion unchanged; recordings of blendshape scores need the model.
        split: "train" leaves out moments that only the test split of an export folder lists. Other sources have no
            splits.

    Raises:
        CaptureError: There is no motion at `path`, a file of it is broken or of another kind, or the format needs
            `model`; names the file.
        FlameParamsError: A field is missing, misshapen or not finite, lengths disagree, more expression coefficients
            are in use than the head model has, or no head can make the motion (angles in degrees, absurd values).
    """
    from sage_ns.motion.limits import bounded, check_motion

    path = Path(path).expanduser()
    if model is not None:
        return bounded(reader_for(path).read_for(path, split, lambda: model), model)
    motion = reader_for(path).read(path, split)
    check_motion(motion)
    return motion


def load_driver(path: Path | str, rig: Callable[[], HeadModel]) -> Motion:
    """Load motion before the avatar is loaded: only formats that depend on the rig call `rig`.

    Args:
        path: Folder or file.
        rig: Returns the head model of the avatar that the motion will move.

    Raises:
        CaptureError, FlameParamsError: As for `load_motion`. Only the transfer to the avatar tells whether the motion
            fits its head model.
    """
    from sage_ns.motion.limits import check_motion

    path = Path(path).expanduser()
    motion = reader_for(path).read_for(path, "all", rig)
    check_motion(motion)
    return motion
