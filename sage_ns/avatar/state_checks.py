"""Checks of the arrays of an avatar by name, made before a module is built from them or a kernel runs on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.errors import SageError
from sage_ns.geometry.spherical_harmonics import NUM_COEFFICIENTS
from sage_ns.rig import NUM_POSE, HeadModel
from sage_ns.rig.mouth_shape import PARTS, mouth_shape
from sage_ns.system.array_fields import ArrayFields

_SURFEL_SHAPES = {
    "means": "num_surfels 3",
    "quaternions": "num_surfels 4",
    "log_scales": "num_surfels num_axes",
    "opacity_logits": "num_surfels",
    "sh_dc": "num_surfels 1 3",
    "sh_rest": "num_surfels num_rest 3",
}
_LARGEST = {"means": 1e6, "log_scales": 30.0, "opacity_logits": 1e4, "sh_dc": 1e4, "sh_rest": 1e4, "quaternions": 1e6}
"""Largest magnitude of each attribute of a surfel; larger numbers overflow when surfels are placed and drawn."""
_SHORTEST_QUATERNION = 1e-6
"""Shorter quaternions have no direction in single precision."""
_LARGEST_HEAD = 1e3
"""Largest coordinate of a head, metres."""
_LARGEST_LIGHT = 1e3
"""Largest coefficient of the light of the room."""
_LARGEST_MOTION = 1e4
"""Largest entry of a motion vector: radians, metres or expression units."""
_TYPES = {
    "int64": (
        *("triangles", "parents", "uv_triangles", "landmark_triangles", "region_sizes", "region_vertices"),
        *("triangle", "timesteps", "canonical_row"),
    ),
    "uint8": ("name", "expression_names", "region_names"),
    "bool": ("interior",),
}
_TYPED = ("rig.", "surfels.", "motion.", "mouth.", "light.", "interior", "settled", "evidence", "displacement")
"""Beginnings of the names of arrays whose types are checked."""
_TYPE_OF = {name: kind for kind, names in _TYPES.items() for name in names}


def check_avatar(state: Mapping[str, Any], source: str, error: type[SageError], hint: str) -> HeadModel:
    """Check every array of an avatar's state dict: presence, shape, type, finite values and ranges.

    Args:
        state: arrays or tensors by the names of `Avatar.state_dict`; others are ignored.
        source: name of the file in messages.
        error: class of the errors to raise.
        hint: what the user should do; ends every message.

    Returns:
        The avatar's rig: the head model with the identity folded in.

    Raises:
        SageError: of the given class; names the file, the array, what was found and what was expected.
    """
    read = ArrayFields(source, state, error, hint)
    background = read.floats("background", "3")
    if bool(((background < 0) | (background > 1)).any()):
        raise read.fail("background", str(background.tolist()), "three numbers in 0..1")
    _check_types(read)
    rig = _checked_rig(read, "rig.")
    num_surfels = len(surfel_tensors(read, "surfels.", rig.num_triangles)["triangle"])
    read.flags("interior", str(rig.num_triangles))
    num_settled = len(read.floats("settled", "num_settled 3"))
    if num_settled not in (0, num_surfels):
        raise read.fail("settled", f"{num_settled} rows", f"none, or one for each of {num_surfels} surfels")
    for name in ("evidence", "displacement"):
        if name in read:
            measured = len(read.floats(name, f"num_{name}"))
            if measured not in (0, num_surfels):
                raise read.fail(name, f"{measured} rows", f"none, or one for each of {num_surfels} surfels")
    _check_motion(read, NUM_POSE + rig.num_expression)
    if any(name.startswith("light.") for name in state):
        read.check_magnitude("light.coefficients", read.floats("light.coefficients", "8 3"), _LARGEST_LIGHT)
    if any(name.startswith("mouth.") for name in state):
        _check_mouth(read, rig.num_expression)
    return rig


def surfel_tensors(read: ArrayFields, prefix: str, num_triangles: int) -> dict[str, Tensor]:
    """Read the arrays of surfels: ``triangle`` and the parameters of `BoundSurfels` by name.

    Args:
        read: the file.
        prefix: start of their names in the file, for instance "surfels.".
        num_triangles: number of triangles of the mesh that the surfels are bound to.

    Raises:
        SageError: of the class of ``read``; an array is missing, misshapen, not finite or out of range.
    """
    alone = ArrayFields(read.source, read.fields, read.error, read.hint)  # the sizes of other surfels may differ
    values = {"triangle": alone.indices(f"{prefix}triangle", "num_surfels", num_triangles)}
    if len(values["triangle"]) == 0:
        raise read.fail(f"{prefix}triangle", "no surfels", "at least one")
    for name in BoundSurfels.PARAMETERS:
        values[name] = alone.floats(prefix + name, _SURFEL_SHAPES[name])
        read.check_magnitude(prefix + name, values[name], _LARGEST[name])
    if values["log_scales"].shape[1] not in (2, 3):
        found = f"{values['log_scales'].shape[1]} scales"
        raise read.fail(f"{prefix}log_scales", found, "2 of discs or 3 of 3D Gaussians")
    num_rest = values["sh_rest"].shape[1]
    if num_rest + 1 not in NUM_COEFFICIENTS:
        raise read.fail(f"{prefix}sh_rest", f"{num_rest} coefficients", "0, 3, 8 or 15 (degree 0 to 3)")
    short = values["quaternions"].norm(dim=-1) < _SHORTEST_QUATERNION
    if bool(short.any()):
        row = int(short.nonzero()[0])
        raise read.fail(f"{prefix}quaternions", f"quaternion {row} of length 0", "quaternions that are not zero")
    return values


def check_light(read: ArrayFields, prefix: str = "") -> dict[str, Tensor]:
    """Read ``openings`` and ``shade`` of a mouth.

    Raises:
        SageError: of the class of ``read``; an array is missing, misshapen, not finite or out of range.
    """
    openings = read.floats(f"{prefix}openings", "num_openings")
    if len(openings) < 1 or bool((openings.diff() <= 0).any()):
        raise read.fail(f"{prefix}openings", str(openings.tolist()), "one or more, ascending")
    shade = read.floats(f"{prefix}shade", f"{len(PARTS)} num_openings")
    if bool((shade < 0).any()):
        raise read.fail(f"{prefix}shade", f"the factor {float(shade.min()):g}", "factors of at least 0")
    read.check_magnitude(f"{prefix}shade", shade, 1e3)
    return {"openings": openings, "shade": shade}


def _check_types(read: ArrayFields) -> None:
    """Check the types of the stored arrays, which become the types of the avatar's tensors."""
    precision = _type_name(read.fields["background"])
    if precision not in ("float32", "float64"):
        raise read.fail("background", f"type {precision}", "type float32")
    for name, value in read.fields.items():
        if not name.startswith(_TYPED):
            continue
        expected = _TYPE_OF.get(name.rpartition(".")[2], precision)
        found = _type_name(value)
        if found != expected:
            raise read.fail(name, f"type {found}", f"type {expected}")


def _type_name(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.")


def _checked_rig(read: ArrayFields, prefix: str) -> HeadModel:
    state = {name.removeprefix(prefix): value for name, value in read.fields.items() if name.startswith(prefix)}
    try:
        model = HeadModel.from_state(state, f"{read.source}, {prefix.removesuffix('.')}", read.hint)
    except SageError as error:
        raise read.error(str(error)) from error
    if model.num_triangles == 0:
        raise read.fail(f"{prefix}triangles", "no triangles", "at least one")
    if model.num_shape:
        raise read.fail(f"{prefix}shape_basis", f"{model.num_shape} directions", "none: the identity is folded in")
    for name in ("v_template", "expression_basis", "pose_basis", "joint_regressor", "skinning_weights"):
        read.check_magnitude(prefix + name, getattr(model, name), _LARGEST_HEAD)
    return model


def _check_motion(read: ArrayFields, num_coefficients: int) -> None:
    rows = read.floats("motion.motion", f"num_timesteps {num_coefficients}")
    if len(rows) == 0:
        raise read.fail("motion.motion", "no timesteps", "at least one")
    read.check_magnitude("motion.motion", rows, _LARGEST_MOTION)
    read.check_magnitude("motion.tracked", read.floats("motion.tracked", str(num_coefficients)), _LARGEST_MOTION)
    read.indices("motion.canonical_row", "", len(rows))
    timesteps = read.indices("motion.timesteps", "num_timesteps")
    if bool((timesteps.diff() <= 0).any()):
        raise read.fail("motion.timesteps", "ids that are not ascending", "ascending ids")


def _check_mouth(read: ArrayFields, num_expression: int) -> None:
    rig, shape = _checked_rig(read, "mouth.rig."), mouth_shape()
    if not torch.equal(rig.triangles, torch.from_numpy(shape.triangles).to(rig.triangles)):
        raise read.fail("mouth.rig.triangles", f"another mesh of {rig.num_triangles} triangles", "this program's mouth")
    if rig.num_expression != num_expression:
        found = f"{rig.num_expression} directions"
        raise read.fail("mouth.rig.expression_basis", found, f"{num_expression}, as many as the head has")
    missing = {*PARTS, "upper_lip", "lower_lip"} - set(rig.regions.names)
    if missing or len(rig.regions.vertices("upper_lip")) != len(rig.regions.vertices("lower_lip")):
        found = f"no {', '.join(sorted(missing))}" if missing else "lips of different lengths"
        raise read.fail("mouth.rig.region_names", found, "all parts of the mouth and both lips")
    surfel_tensors(read, "mouth.surfels.", rig.num_triangles)
    check_light(read, "mouth.")
