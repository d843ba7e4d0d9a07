"""What the conversions of other trackers' folders to captures share: eyelids, test frames, and what they return."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.splits import SplitName
from sage_ns.capture.tracker_checkpoints import num_moved_eyelids
from sage_ns.errors import CaptureError
from sage_ns.rig import HeadModel, find_head_model, load_head_model
from sage_ns.rig.eyelids import load_eyelids, with_eyelids


@dataclass(frozen=True)
class Converted:
    """Result of converting a folder."""

    folder: Path
    notes: tuple[str, ...]
    """Notes for the user about the conversion."""


def rig_with_eyelids(eyelids: Path, head_model: Path | str | None, out: Path) -> HeadModel:
    """Return a head model with a tracker's eyelids as two more expression directions.

    Args:
        eyelids: Folder with the tracker's `l_eyelid.npy` and `r_eyelid.npy`.
        head_model: FLAME file that they are added to; None = the one found near ``out``.
        out: Folder of the capture.

    Raises:
        HeadModelError: A file is missing, broken, or does not fit the other.
    """
    model = load_head_model(find_head_model(head_model, out))
    return with_eyelids(model, load_eyelids(eyelids, model.num_vertices))


def lost_blinks(eyelids: Float[Tensor, "num_timesteps 2"], program: str) -> tuple[str, ...]:
    """Return a note about blinks that a head model without eyelids cannot make; none if the eyelids do not move."""
    num_moved = num_moved_eyelids(eyelids)
    if not num_moved:
        return ()
    return (
        f"eyelids at {num_moved} of {len(eyelids)} timesteps were moved by {program}'s own blendshapes, "
        "which FLAME does not have: blinks are lost. Give the folder of its l_eyelid.npy and r_eyelid.npy "
        "(--eyelids) to keep them",
    )


def splits_with_last(test_frames: int, count: int, source: Path) -> list[SplitName]:
    """Return splits of which the last ones are test frames.

    Args:
        test_frames: How many.
        count: Number of all frames.
        source: Folder, for the message.

    Raises:
        CaptureError: No frame is left for training, or none is a test frame.
    """
    if not 0 < test_frames < count:
        raise CaptureError(
            f"{source}: --test-frames is {test_frames}, and there are {count} frames. Give a number from 1 to "
            f"{count - 1}, so that frames are left for training."
        )
    return ["train" if row < count - test_frames else "test" for row in range(count)]
