"""SMIRK (Retsinas et al. 2024, github.com/georgeretsi/smirk, commit c7de404): heads in crops of pictures.

The program writes pictures alone; a line of Python in `demo.py` or `demo_video.py` keeps what its encoder returned:
``torch.save(outputs, "smirk.pt")``, or the list of the outputs of all frames. Fields and widths: "shape_params" 300 and
"expression_params" 50 of FLAME 2020; "pose_params" 3 (rotation vector about FLAME's root joint); "jaw_params" 3;
"eyelid_params" 2 (left, right, metrical-tracker's blendshapes); "cam" 3 (scale and shift of a parallel projection along
-z, y up). Neck and eyes rest. A parallel projection has no distance, so where the head is remains unsaid.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch

from sage_ns.capture.tracker_files.registry import TrackedHeads, TrackerFile, register_tracker
from sage_ns.capture.tracker_files.rows import holds, read_rows
from sage_ns.rig import FlameParams

_WIDTHS = {"shape_params": 300, "expression_params": 50, "pose_params": 3, "jaw_params": 3, "eyelid_params": 2}
_HINT = 'Save what SMIRK\'s encoder returns: torch.save(outputs, "smirk.pt"), with tensors, not arrays.'


@register_tracker
class Smirk(TrackerFile):
    """A file of `torch.save` or `numpy.savez` with what the encoder returned, or a folder of them."""

    name: ClassVar[str] = "SMIRK"
    licence: ClassVar[str] = (
        "code MIT; weights without a licence, learned with non-commercial parts; FLAME's own licence"
    )
    layout: ClassVar[str] = "what SMIRK's encoder returned, saved as .pt or .npz"

    def recognises(self, path: Path) -> bool:
        """Return whether the names of SMIRK's fields are there."""
        return holds(path, ("pose_params", "expression_params", "jaw_params"))

    def read(self, path: Path) -> TrackedHeads:
        """Read the heads; see `TrackerFile.read`."""
        rows = read_rows(path, _WIDTHS, ("eyelid_params",), "a dict of SMIRK's results", _HINT)
        fields, rest = rows.fields, torch.zeros(len(rows.places), 3)
        params = FlameParams(
            shape=fields["shape_params"].mean(dim=0),
            expr=fields["expression_params"],
            rotation=fields["pose_params"],
            neck_pose=rest,
            jaw_pose=fields["jaw_params"],
            eyes_pose=torch.cat([rest, rest], dim=1),
            translation=rest,
        )
        heads = TrackedHeads(
            params, fields["eyelid_params"], rows.frames, path, self.name, self.licence, "2020", place="none"
        )
        return heads.checked(rows.places.__getitem__)
