"""Import of avatars that GaussianAvatars trained: splats become surfels, see `sage_ns.exchange.gaussian_avatars`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.interior import interior_triangles
from sage_ns.avatar.look import Look
from sage_ns.avatar.mouth import Mouth, load_mouth_prior, skin_color
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.portrait import portrait_camera
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.errors import FlameParamsError
from sage_ns.exchange.discs import as_discs
from sage_ns.exchange.gaussian_avatars import FLAME_PARAM
from sage_ns.exchange.ply import SplatFileError, read_ply
from sage_ns.geometry.spherical_harmonics import C0, NUM_COEFFICIENTS
from sage_ns.motion.source import MotionSource
from sage_ns.rig import FlameParams, HeadModel, check_plausible
from sage_ns.system.array_fields import ArrayFields

FLAME_NUM_TRIANGLES, TEETH_NUM_TRIANGLES = 9976, 168
"""Triangles in FLAME's file, and in the teeth that GaussianAvatars appends to it."""
_HINT = "Give the point_cloud.ply of a GaussianAvatars run."
_FLAT = 0.1
"""A splat counts as flat if its third scale is below this share of the smaller of the other two."""
_PORTRAIT = 512
"""Size in pixels of the picture that determines which inner triangles are visible through an open mouth."""


@dataclass(frozen=True, eq=False)
class ImportedAvatar:
    """An avatar made from the files of another program."""

    avatar: Avatar
    notes: tuple[str, ...]
    """Notes on the conversion for the user."""


@dataclass(frozen=True, eq=False)
class BoundSplats:
    """Splats of a GaussianAvatars file as surfels on a head model."""

    surfels: BoundSurfels
    notes: tuple[str, ...]
    """Notes on the conversion for the user."""


def find_flame_param(point_cloud: Path) -> Path | None:
    """Return the path of the parameters that GaussianAvatars writes beside a point cloud; None if there are none."""
    beside = point_cloud.with_name(FLAME_PARAM)
    return beside if os.path.lexists(beside) else None


def load_gaussian_avatar(
    point_cloud: Path, head_model: HeadModel, flame_param: Path | None, mouth: bool = False
) -> ImportedAvatar:
    """Make an avatar from a PLY of GaussianAvatars. As in its training, it has no correction and no wrinkles.

    The canonical moment is timestep 0 of the parameters, as in GaussianAvatars.

    Args:
        point_cloud: the PLY file.
        head_model: the FLAME model that GaussianAvatars used.
        flame_param: identity and motion; None uses the mean head at rest.
        mouth: add the shipped teeth, tongue and palate, and darken the inside of the head behind them.

    Raises:
        SplatFileError: the PLY cannot be read, see `read_bound_splats`.
        FlameParamsError: the parameters cannot be read, or are of another head model.
        HeadModelError: ``mouth`` is set, but the head model has no mouth that the jaw opens.
    """
    params = FlameParams.neutral(head_model) if flame_param is None else FlameParams.load(flame_param)
    try:
        params = params.check_fits(head_model)
    except FlameParamsError as error:
        raise FlameParamsError(f"{flame_param}: {error}") from error
    check_plausible(params, lambda row: f"{flame_param}, moment {row}")
    bound = read_bound_splats(point_cloud, head_model)
    rig = PersonalRig(head_model, params)
    motion = MotionSource(params, torch.arange(params.num_timesteps), canonical_row=0)
    interior = torch.zeros(head_model.num_triangles, dtype=torch.bool)
    inside = None
    if mouth:
        camera = portrait_camera(rig.vertices(motion.canonical()), motion.canonical(), _PORTRAIT, _PORTRAIT)
        interior = interior_triangles(rig, motion.canonical(), [camera])
        inside = _mouth(rig.head_model, bound.surfels)
    notes = bound.notes
    if flame_param is None:
        notes = (*notes, f"no {FLAME_PARAM}: the avatar is the mean head, at rest")
    look = Look(correction=False, wrinkles=0.0, dark_interior=mouth, mouth=mouth)
    return ImportedAvatar(Avatar(rig, bound.surfels, motion, interior, inside, torch.ones(3), look), notes)


@torch.no_grad()
def _mouth(head_model: HeadModel, surfels: BoundSurfels) -> Mouth:
    seen = (0.5 + C0 * surfels.sh_dc[:, 0]).clamp(0.0, 1.0)
    skin = skin_color(head_model, surfels.triangle, seen, surfels.opacity_logits.sigmoid())
    return Mouth(head_model, load_mouth_prior(), skin)


def read_bound_splats(path: Path, head_model: HeadModel) -> BoundSplats:
    """Read a PLY of GaussianAvatars as surfels: the shortest axis of every splat becomes its normal.

    Splats on GaussianAvatars' teeth are left out if the head model is FLAME without teeth. Degrees of the harmonics
    whose coefficients are all zero are left out, too.

    Raises:
        SplatFileError: the file is not a PLY of GaussianAvatars, a property is missing, unknown or not finite, or a
            splat is bound to a triangle that the head model does not have; names file and property.
    """
    properties = read_ply(path)
    read = ArrayFields(str(path), properties, SplatFileError, _HINT)
    num_rest = _check_names(read, list(properties))
    if not len(properties["x"]):
        raise read.fail("x", "no splats", "at least one")
    binding, notes = _binding(read, head_model)

    def columns(group: str, count: int) -> Float[Tensor, "num_splats count"]:
        return torch.stack([read.floats(f"{group}_{index}", "num_splats") for index in range(count)], dim=-1)

    means = torch.stack([read.floats(name, "num_splats") for name in "xyz"], dim=-1)
    log_scales, quaternions, thickness = as_discs(columns("scale", 3), columns("rot", 4))
    rest = columns("f_rest", num_rest).unflatten(1, (3, -1)).mT if num_rest else means.new_zeros(len(means), 0, 3)
    opacity_logits, sh_dc = read.floats("opacity", "num_splats"), columns("f_dc", 3)
    kept, flatness = binding >= 0, float(thickness.median())
    if flatness > _FLAT:
        notes.append(
            f"splats are not flat: their third scale is {flatness:.0%} of the second (median). Surfels have no third "
            "scale, and pictures differ from those of GaussianAvatars"
        )
    surfels = BoundSurfels(
        triangle=binding[kept],
        means=means[kept],
        quaternions=quaternions[kept],
        log_scales=log_scales[kept],
        opacity_logits=opacity_logits[kept],
        sh_dc=sh_dc[kept, None],
        sh_rest=_used_degrees(rest[kept]),
    )
    return BoundSplats(surfels, tuple(notes))


def _check_names(read: ArrayFields, names: list[str]) -> int:
    """Check that all names are those of GaussianAvatars and return the number of properties `f_rest_*`."""
    if "binding_0" not in read:
        raise read.fail("binding_0", "nothing", "the triangle of every splat: these splats are not bound to a rig")
    num_rest = sum(name.startswith("f_rest_") for name in names)
    if num_rest not in [3 * (count - 1) for count in NUM_COEFFICIENTS]:
        raise read.fail("f_rest_*", f"{num_rest} properties", "0, 9, 24 or 45 (degree 0 to 3)")
    groups = {"f_dc": 3, "f_rest": num_rest, "scale": 3, "rot": 4, "binding": 1}
    expected = ["x", "y", "z", "opacity", *(f"{group}_{i}" for group, count in groups.items() for i in range(count))]
    for name in expected:
        if name not in read:
            raise read.fail(name, "nothing", "one number per splat")
    unknown = set(names) - set(expected) - {"nx", "ny", "nz"}
    if unknown:
        raise read.fail(min(unknown), "an unknown property", "only those of GaussianAvatars, not of its successors")
    return num_rest


def _binding(read: ArrayFields, head_model: HeadModel) -> tuple[Int[Tensor, "num_splats"], list[str]]:
    """Return the triangle of each splat, and notes; -1 for splats on teeth that the head model lacks."""
    read.floats("binding_0", "num_splats")
    limit = head_model.num_triangles
    if limit != FLAME_NUM_TRIANGLES:
        return read.indices("binding_0", "num_splats", limit), []
    binding = read.indices("binding_0", "num_splats", limit + TEETH_NUM_TRIANGLES)
    on_teeth = binding >= limit
    count = int(on_teeth.sum())
    if not count:
        return binding, []
    note = (
        f"{count} splats are bound to the teeth that GaussianAvatars appends to FLAME; this head model has no teeth, "
        "and these splats are left out (--mouth adds this package's own teeth)"
    )
    return torch.where(on_teeth, -1, binding), [note]


def _used_degrees(sh_rest: Float[Tensor, "num_splats num_rest 3"]) -> Float[Tensor, "num_splats num_used 3"]:
    used = (sh_rest != 0).any(dim=2).any(dim=0).nonzero()
    last = 1 + int(used.max()) + 1 if len(used) else 1
    return sh_rest[:, : min(count for count in NUM_COEFFICIENTS if count >= last) - 1].contiguous()
