"""SHeaP (Schoneveld et al. 2025, github.com/nlml/SHeaP, commit cfddf49): heads in crops of pictures.

The program keeps no parameters on disk; a line of Python does: ``torch.save(inference_images_list(...), "sheap.pt")``
or ``torch.save(process_video("clip.mp4"), "sheap.pt")``. Fields and widths: "shape_from_facenet" 300 and "expr" 100 of
FLAME 2020; "torso_pose", "neck_pose", "jaw_pose", "eye_l_pose", "eye_r_pose" and "cam_trans" 3 each (rotation vectors;
the torso's turns about FLAME's root joint; metres); "eyelids" 2. The vertices of FLAME plus "cam_trans" are in a world
whose camera stands at z = +1 and looks along -z, y up, with a vertical field of view of 14.2539 degrees over the square
crop. The direction of the first eyelid lowers lids at x < 0, the RIGHT eye's; the second one the left eye's. Both reach
the lid's edge as metrical-tracker's do (within 4 %), but are other blendshapes.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch

from sage_ns.capture.tracker_files.registry import TrackedHeads, TrackerFile, register_tracker
from sage_ns.capture.tracker_files.rows import holds, read_rows
from sage_ns.rig import FlameParams

_WIDTHS = {
    "shape_from_facenet": 300,
    "expr": 100,
    **dict.fromkeys(("torso_pose", "neck_pose", "jaw_pose", "eye_l_pose", "eye_r_pose", "cam_trans"), 3),
    "eyelids": 2,
}
_CAMERA = (0.0, 0.0, 1.0)
"""Metres: place of the camera in the world of the vertices."""
_HINT = 'Save what SHeaP returns: torch.save(inference_images_list(...), "sheap.pt"), with tensors, not arrays.'


@register_tracker
class Sheap(TrackerFile):
    """A file of `torch.save` or `numpy.savez` with what the network returned, or a folder of them."""

    name: ClassVar[str] = "SHeaP"
    licence: ClassVar[str] = "code and weights CC BY-NC 4.0"
    layout: ClassVar[str] = "what SHeaP returned, saved as .pt or .npz"

    def recognises(self, path: Path) -> bool:
        """Return whether the names of SHeaP's fields are there."""
        return holds(path, ("torso_pose", "expr"))

    def read(self, path: Path) -> TrackedHeads:
        """Read the heads; see `TrackerFile.read`."""
        rows = read_rows(path, _WIDTHS, ("eyelids",), "a dict of SHeaP's results", _HINT)
        fields = rows.fields
        params = FlameParams(
            shape=fields["shape_from_facenet"].mean(dim=0),
            expr=fields["expr"],
            rotation=fields["torso_pose"],
            neck_pose=fields["neck_pose"],
            jaw_pose=fields["jaw_pose"],
            eyes_pose=torch.cat([fields["eye_l_pose"], fields["eye_r_pose"]], dim=1),
            translation=fields["cam_trans"] - torch.tensor(_CAMERA),
        )
        heads = TrackedHeads(
            params, fields["eyelids"].flip(1), rows.frames, path, self.name, self.licence, "2020", place="crop"
        )
        return heads.checked(rows.places.__getitem__)
