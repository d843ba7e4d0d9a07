"""Portrait4D and GenHead (Deng et al. 2024): pictures with cameras around FLAME's head, three times as large."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from sage_ns.capture.camera_checks import camera_to_world
from sage_ns.capture.pseudo_formats.registry import (
    CanonicalHead,
    ViewsConverter,
    listed_pictures,
    register_converter,
    require,
)
from sage_ns.capture.pseudo_views import NewView
from sage_ns.errors import CaptureError
from sage_ns.geometry.rigid import CAMERA_AXES
from sage_ns.rig import identity_vertices
from sage_ns.system.json_files import finite_number, shown

_SIZE = 3.0
"""Units of its world per metre."""
_CAMERA_NUMBERS = 25
CAMERAS = "cameras.json"


@register_converter
class Portrait4D(ViewsConverter):
    """Reads pictures with the vector c of each: 16 numbers camera-to-world, 9 normalised intrinsics.

    The world is FLAME's with the neck joint at the origin, times 3. [reading] The cameras have OpenCV's axes, as those
    of EG3D, from which the program comes.
    """

    name: ClassVar[str] = "portrait4d"
    program: ClassVar[str] = "Portrait4D / GenHead"
    licence: ClassVar[str] = "code MIT with parts under NVIDIA's non-commercial source licence; weights not stated"
    layout: ClassVar[str] = (
        'cameras.json {"frames": [{"file_path": ..., "c": 25 numbers}, ...]}, the pictures, and masks'
    )

    def convert(self, source: Path, head: CanonicalHead) -> list[NewView]:
        """See `ViewsConverter.convert`."""
        path = require(source / CAMERAS, self.layout)
        neck = (head.model.joint_regressor[1] @ identity_vertices(head.model, head.params)).double().numpy()
        views = []
        for listed in listed_pictures(path):
            numbers = listed.entry.get("c")
            values = [finite_number(each) for each in numbers] if isinstance(numbers, list) else []
            if len(values) != _CAMERA_NUMBERS or None in values:
                raise CaptureError(f"{listed.source}: 'c' is {shown(numbers)}; expected {_CAMERA_NUMBERS} numbers.")
            c = np.array(values, dtype=np.float64)
            pose = camera_to_world(c[:16].reshape(4, 4) @ CAMERA_AXES, listed.source, "c") @ CAMERA_AXES
            pose[:3, 3] = pose[:3, 3] / _SIZE + neck
            height, width = listed.mask.shape
            k = c[16:].reshape(3, 3)
            at = head.camera_to_world(np.linalg.inv(pose))
            size = (k[0, 0] * width, k[1, 1] * height, k[0, 2] * width, k[1, 2] * height)
            views.append(NewView(listed.image, listed.mask, at, *size))
        return views
