"""An avatar as one file: rig, surfels, mouth, motion and look, without pickle, capture or nerfstudio.

The file is an npz with the tensors of the avatar's state by name (`rig.*`: the head model with the identity folded in;
`surfels.*`: as in :class:`BoundSurfels`; `mouth.*`; `motion.*`), the look as `look.*`, and `format`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.look import Look
from sage_ns.avatar.mouth import Mouth, load_mouth_prior
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.errors import SageError
from sage_ns.motion.source import MotionSource
from sage_ns.rig import NUM_POSE, FlameParams, HeadModel
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz

FORMAT = 1
"""Version of the layout; increases when older programs cannot read new files."""
_HINT = "Export the avatar again with sage-export avatar."


class AvatarFileError(SageError):
    """An avatar file is missing, broken, or of another kind or version."""


def save_avatar(avatar: Avatar, path: Path) -> None:
    """Write ``avatar`` to ``path`` atomically; `load_avatar` returns an avatar that draws the same pixels."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in avatar.state_dict().items()}
    look = {f"look.{name}": np.array(float(value)) for name, value in asdict(avatar.look).items()}
    # Compression halves the file: half of the numbers in the bases are zeros.
    write_npz(path, {"format": np.array([FORMAT]), **arrays, **look}, compress=True)


def load_avatar(path: Path) -> Avatar:
    """Load an avatar file onto the CPU.

    Raises:
        AvatarFileError: the file is missing, broken, or of another kind or version; the message names file and field.
    """
    arrays = read_npz(path, AvatarFileError)
    read = ArrayFields(str(path), arrays, AvatarFileError, _HINT)
    if "format" not in read:
        raise AvatarFileError(f"{path}: not an avatar file: found no field 'format'. {_HINT}")
    version = int(read.indices("format", "1")[0])
    if version != FORMAT:
        raise read.fail("format", f"version {version}", f"version {FORMAT}")
    rig = PersonalRig(*_head_model(arrays, str(path)))
    read.sizes["num_coefficients"] = NUM_POSE + rig.head_model.num_expression
    mouth = Mouth(rig.head_model, load_mouth_prior()) if "mouth.surfels.means" in arrays else None
    avatar = Avatar(
        rig,
        _surfels(read, rig.head_model.num_triangles),
        _motion(read),
        torch.zeros(rig.head_model.num_triangles, dtype=torch.bool),
        mouth,
        read.floats("background", "3"),
        _look(read),
    )
    state = {name: torch.from_numpy(array) for name, array in arrays.items() if not name.startswith(("look.", "form"))}
    try:
        avatar.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise AvatarFileError(f"{path}: {error}. {_HINT}") from error
    return avatar


def surfels_of(path: Path, head_model: HeadModel, sh_degree: int) -> BoundSurfels:
    """Load the surfels of an avatar file as the start of another avatar on the same head model.

    Args:
        path: the file.
        head_model: head model of the new avatar.
        sh_degree: degree of its colours; higher degrees of the file are cut, missing ones are 0.

    Raises:
        AvatarFileError: as for `load_avatar`, or the avatar of the file has another mesh.
    """
    loaded = load_avatar(path)
    theirs, ours = loaded.rig.head_model.triangles, head_model.triangles.cpu()
    if not torch.equal(theirs, ours):
        raise AvatarFileError(
            f"{path}: 'rig.triangles': found a mesh of {len(theirs)} triangles ('{loaded.rig.head_model.name}'), "
            f"expected that of the capture's head model, {len(ours)} ('{head_model.name}'). "
            "Train with the avatar's head model."
        )
    surfels, num_rest = loaded.surfels, (sh_degree + 1) ** 2 - 1
    missing = max(num_rest - surfels.sh_rest.shape[1], 0)
    rest = torch.nn.functional.pad(surfels.sh_rest.detach(), (0, 0, 0, missing))[:, :num_rest]
    values = {name: getattr(surfels, name).detach() for name in BoundSurfels.PARAMETERS[:-1]}
    return BoundSurfels(surfels.triangle, **values, sh_rest=rest.clone())


def _head_model(arrays: Mapping[str, np.ndarray], source: str) -> tuple[HeadModel, FlameParams]:
    state = {name.removeprefix("rig."): array for name, array in arrays.items() if name.startswith("rig.")}
    try:
        model = HeadModel.from_state(state, source)
    except SageError as error:
        raise AvatarFileError(str(error)) from error
    return model, FlameParams.neutral(model)


def _surfels(read: ArrayFields, num_triangles: int) -> BoundSurfels:
    triangle = read.indices("surfels.triangle", "num_surfels", num_triangles)
    shapes = {"means": "3", "quaternions": "4", "log_scales": "2", "opacity_logits": "", "sh_dc": "1 3"}
    values: dict[str, Tensor] = {
        name: read.floats(f"surfels.{name}", f"num_surfels {rest}".strip()) for name, rest in shapes.items()
    }
    return BoundSurfels(triangle, **values, sh_rest=read.floats("surfels.sh_rest", "num_surfels num_rest 3"))


def _motion(read: ArrayFields) -> MotionSource:
    rows = read.floats("motion.motion", "num_timesteps num_coefficients")
    canonical = int(read.indices("motion.canonical_row", "", len(rows)))
    params = FlameParams.from_motion_vector(rows)
    return MotionSource(params, read.indices("motion.timesteps", "num_timesteps"), canonical)


def _look(read: ArrayFields) -> Look:
    values: dict[str, Any] = {}
    for each in fields(Look):
        read.floats(f"look.{each.name}", "")
        # Use the stored number: single precision would change 0.1.
        values[each.name] = type(each.default)(read.fields[f"look.{each.name}"])
    return Look(**values)
