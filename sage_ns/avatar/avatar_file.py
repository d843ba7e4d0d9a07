"""An avatar as one file: rig, surfels, mouth, motion and look, without pickle, capture or nerfstudio.

The file is an npz with the tensors of the avatar's state by name (`rig.*`: the head model with the identity folded in;
`surfels.*`: as in :class:`BoundSurfels`; `mouth.*`; `motion.*`), the look as `look.*`, `format`, and as `provenance`
where the pictures come from (JSON, `sage_ns.capture.provenance`).
"""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.light import RoomLight
from sage_ns.avatar.look import Look
from sage_ns.avatar.mouth import Mouth, load_mouth_prior
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.state_checks import check_avatar, surfel_tensors
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.capture.provenance import LONGEST
from sage_ns.errors import SageError
from sage_ns.motion.source import MotionSource
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz

FORMAT = 1
"""Version of the layout; increases when older programs cannot read new files."""
_LOOK_RANGES = {
    **{"supersampling": (1.0, 16.0), "wrinkles": (0.0, 100.0), "surfel_size": (1e-6, 1e3)},
    **{"wrinkle_dimming": (0.0, 100.0), "correction_gamma": (0.0, 100.0)},
}
"""Smallest and largest value of the fields of :class:`Look` that are numbers."""
_LOOK_CHOICES = {name: get_args(hint) for name, hint in get_type_hints(Look).items() if get_origin(hint) is Literal}
"""Possible values of the fields of :class:`Look` that are names."""
_LATER = {
    "wrinkle_rule",
    "wrinkle_dimming",
    "correction_source",
    "correction_gamma",
    "distortion",
    "light",
    "mark_guessed",
}
"""Fields of :class:`Look` that files of older versions lack; their default draws as these versions did."""
_BESIDE_STATE = ("look.", "form", "provenance")
"""Beginnings of the names of fields that are no tensors of the avatar's state."""
_HINT = "Export the avatar again with sage-export avatar."


class AvatarFileError(SageError):
    """An avatar file is missing, broken, or of another kind or version."""


def save_avatar(avatar: Avatar, path: Path) -> None:
    """Write ``avatar`` to ``path`` atomically; `load_avatar` returns an avatar that draws the same pixels."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in avatar.state_dict().items()}
    look = {
        f"look.{name}": np.array(value if isinstance(value, str) else float(value))
        for name, value in asdict(avatar.look).items()
    }
    # Compression halves the file: half of the numbers in the bases are zeros.
    write_npz(
        path, {"format": np.array([FORMAT]), **arrays, **look, "provenance": np.array(avatar.provenance)}, compress=True
    )


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
    look = _look(read)
    head_model = check_avatar(arrays, str(path), AvatarFileError, _HINT)
    state = {name: torch.from_numpy(array) for name, array in arrays.items() if not name.startswith(_BESIDE_STATE)}
    try:
        avatar = _empty_avatar(read, head_model, look)
        avatar.load_state_dict(state, strict=True)
    # RuntimeError: a name too many or too few; a head that is no head, in which no mouth can be found
    except (SageError, RuntimeError) as error:
        raise AvatarFileError(f"{path}: {error}. {_HINT}") from error
    avatar.provenance = _provenance(read)
    return avatar


def _provenance(read: ArrayFields) -> str:
    """Return source, date and consent; "" for files of older versions."""
    text = read.text("provenance") if "provenance" in read else ""
    if len(text) > LONGEST:
        raise read.fail("provenance", f"{len(text)} characters", f"at most {LONGEST}")
    return text


def _empty_avatar(read: ArrayFields, head_model: HeadModel, look: Look) -> Avatar:
    """Return an avatar with the parts of the file's; its state is still to be loaded."""
    has_mouth = any(name.startswith("mouth.") for name in read.fields)
    return Avatar(
        PersonalRig(head_model, FlameParams.neutral(head_model)),
        BoundSurfels(**surfel_tensors(read, "surfels.", head_model.num_triangles)),
        _motion(read),
        torch.zeros(head_model.num_triangles, dtype=torch.bool),
        Mouth(head_model, load_mouth_prior()) if has_mouth else None,
        read.floats("background", "3"),
        look,
        RoomLight() if "light.coefficients" in read else None,
    )


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


def _motion(read: ArrayFields) -> MotionSource:
    rows = read.floats("motion.motion", "num_timesteps num_coefficients")
    canonical = int(read.indices("motion.canonical_row", "", len(rows)))
    params = FlameParams.from_motion_vector(rows)
    return MotionSource(params, read.indices("motion.timesteps", "num_timesteps"), canonical)


def _look(read: ArrayFields) -> Look:
    values: dict[str, Any] = {}
    for each in fields(Look):
        if each.name in _LATER and f"look.{each.name}" not in read:
            continue
        if each.name in _LOOK_CHOICES:
            values[each.name] = _choice(read, f"look.{each.name}", _LOOK_CHOICES[each.name])
            continue
        read.floats(f"look.{each.name}", "")
        # Use the stored number: single precision would change 0.1.
        number = float(read.fields[f"look.{each.name}"])
        low, high = _LOOK_RANGES.get(each.name, (0.0, 1.0))
        kind = type(each.default)
        if not low <= number <= high or kind(number) != number:
            whole = "" if kind is float else "a whole number "
            raise read.fail(f"look.{each.name}", f"{number:g}", f"{whole}in {low:g}..{high:g}")
        values[each.name] = kind(number)
    return Look(**values)


def _choice(read: ArrayFields, key: str, choices: tuple[str, ...]) -> str:
    found = read.text(key)
    if found not in choices:
        raise read.fail(key, repr(found[:80]), f"one of {', '.join(choices)}")
    return found
