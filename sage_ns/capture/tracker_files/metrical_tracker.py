"""metrical-tracker's checkpoints as heads before a camera; `sage_ns.capture.tracker_checkpoints` has the format.

The head stands still and the camera moves: "opencv" has "R" [1, 3, 3] and "t" [1, 3], which take FLAME's vertices to a
camera of OpenCV's axes. Seen from the camera, the head turns about the origin of FLAME's space.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from sage_ns.capture.tracker_checkpoints import (
    checkpoints_in,
    load_tracker_checkpoints,
    read_checkpoint,
    world_to_camera,
)
from sage_ns.capture.tracker_files.registry import TrackedHeads, TrackerFile, register_tracker
from sage_ns.geometry.rigid import CAMERA_AXES
from sage_ns.geometry.rotations import matrix_to_axis_angle
from sage_ns.rig import in_time_order
from sage_ns.rig.flame_files import timesteps_of


@register_tracker
class MetricalTracker(TrackerFile):
    """A `.frame` file, or a folder with them, or the folder above its folder `checkpoint`."""

    name: ClassVar[str] = "metrical-tracker"
    licence: ClassVar[str] = "non-commercial; its repository has the terms"
    layout: ClassVar[str] = "a folder of metrical-tracker's checkpoints (.frame)"

    def recognises(self, path: Path) -> bool:
        """Return whether there are checkpoints; those of Pixel3DMM are recognised before."""
        return bool(checkpoints_in(path))

    def read(self, path: Path) -> TrackedHeads:
        """Read the heads; see `TrackerFile.read`."""
        paths = in_time_order(checkpoints_in(path))
        params, eyelids = load_tracker_checkpoints(paths)
        read = [read_checkpoint(each) for each in paths]
        motions = torch.from_numpy(
            np.stack([CAMERA_AXES @ world_to_camera(each, "opencv.R", "opencv.t") for each in read])
        ).float()
        shapes = torch.stack([each.floats("flame.shape", "1 300")[0] for each in read])
        params = replace(
            params,
            shape=shapes.mean(dim=0),
            rotation=matrix_to_axis_angle(motions[:, :3, :3]),
            translation=motions[:, :3, 3],
        )
        frames = torch.tensor(timesteps_of(paths))
        heads = TrackedHeads(
            params, eyelids, frames, path, self.name, self.licence, "2020", pivot="origin", place="room"
        )
        return heads.checked(lambda row: str(paths[row]))
