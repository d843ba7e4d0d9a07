"""Motion files as other programs write them, for tests of the readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sage_ns.motion.face.arkit import ARKIT_NAMES
from sage_ns.rig import FlameParams
from tests.tiny import tiny_head_model, tiny_params

MODEL = tiny_head_model()
PARAMS = tiny_params(MODEL, 4, size=0.03)


def assert_same_motion(found: FlameParams, expected: FlameParams) -> None:
    torch.testing.assert_close(found.motion_vector(), expected.motion_vector())


def arrays(params: FlameParams = PARAMS, **changes: Any) -> dict[str, Any]:
    """The fields of an npz sequence; a change to None leaves one out."""
    names = ("shape", "expr", "rotation", "neck_pose", "jaw_pose", "eyes_pose", "translation")
    given = {name: getattr(params, name).numpy() for name in names} | changes
    return {name: value for name, value in given.items() if value is not None}


def write_npz(path: Path, **content: Any) -> Path:
    np.savez(path, **content)
    return path


def live_link_face(path: Path, moments: Sequence[Mapping[str, float] | None]) -> Path:
    """A csv of Live Link Face at 60 moments per second; None is a moment without the face."""
    angles = [f"{part}{angle}" for part in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll")]
    names = [name[0].upper() + name[1:] for name in ARKIT_NAMES]
    lines = [",".join(["Timecode", "BlendShapeCount", *names, *angles])]
    for frame, moment in enumerate(moments):
        cells = [""] * 61 if moment is None else [*(str(moment.get(name, 0.0)) for name in ARKIT_NAMES), *["0.1"] * 9]
        lines.append(",".join([f"01:00:00:{frame:02d}.000", str(0 if moment is None else 61), *cells]))
    path.write_text("\n".join(lines) + "\n")
    return path
