"""Held-out pictures from all sides for the capture of one camera: those of a rig that filmed the same moment.

    python -m sage_ns.bench.side_views fk01_mono fk01

Both folders lie side by side. A capture of one camera has no pictures of its canonical moment from elsewhere, which are
what tells how good the sides of its avatar are. The pictures go into its split val; training never sees them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tyro

from sage_ns.capture.frames import frame_entries, read_json
from sage_ns.capture.layout import TRAIN, VAL
from sage_ns.errors import CaptureError, show_as_panels
from sage_ns.system.console import console, escape
from sage_ns.system.files import write_json

_PATHS = ("file_path", "fg_mask_path", "flame_param_path")


def add_side_views(turning: Path, rig: Path, timestep: int = 0) -> int:
    """Write the split val of a capture of one camera: pictures of a moment by the other cameras of a rig.

    Args:
        turning: capture of one camera; its ``transforms_val.json`` is replaced.
        rig: capture of the same person, tracked in the same world, in a folder beside it.
        timestep: id of the moment in both captures.

    Returns:
        number of pictures.

    Raises:
        CaptureError: the folders do not lie side by side, or a capture lacks what is needed; names it.
    """
    turning, rig = turning.absolute(), rig.absolute()
    if turning.parent != rig.parent:
        raise CaptureError(f"{turning} and {rig} do not lie side by side; move or copy one of them to the other.")
    own = frame_entries(read_json(turning / TRAIN), turning / TRAIN)
    here = [frame for frame in own if frame.get("timestep_index") == timestep]
    if not here:
        raise CaptureError(f"{turning / TRAIN}: no picture of timestep {timestep}. Choose another one with --timestep.")
    seen_by = {frame.get("camera_index") for frame in here}
    found: list[dict[str, Any]] = []
    for name in (name for name in (TRAIN, VAL) if (rig / name).is_file()):
        for frame in frame_entries(read_json(rig / name), rig / name):
            if frame.get("timestep_index") == timestep and frame.get("camera_index") not in seen_by:
                moved = {key: f"../{rig.name}/{frame[key]}" for key in _PATHS if key in frame}
                # One moment has one file of parameters: its own.
                found.append({**frame, **moved, "flame_param_path": here[0]["flame_param_path"]})
    if not found:
        raise CaptureError(f"{rig}: no other camera has a picture of timestep {timestep}.")
    write_json(turning / VAL, {"frames": found})
    return len(found)


def main(
    turning: Annotated[Path, tyro.conf.Positional], rig: Annotated[Path, tyro.conf.Positional], timestep: int = 0
) -> None:
    """Add the pictures of a rig's cameras to the split val of a capture of one camera.

    Args:
        turning: capture of one camera.
        rig: capture of the same person by a rig, beside it.
        timestep: id of the moment in both captures.
    """
    show_as_panels()
    console().print(
        f"{add_side_views(turning, rig, timestep)} pictures in {escape(str(turning / VAL))}", soft_wrap=True
    )


if __name__ == "__main__":
    tyro.cli(main)
