"""Motion files as other programs write them, for tests of the readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from sage_ns.rig import FlameParams
from tests.tiny import tiny_head_model, tiny_params

MODEL = tiny_head_model()
PARAMS = tiny_params(MODEL, 4)


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
