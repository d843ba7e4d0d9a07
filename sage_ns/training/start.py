"""Build the learner of a new avatar, or an empty one for loading a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.avatar_file import AvatarFileError, surfels_of
from sage_ns.avatar.canonical import Canonical
from sage_ns.avatar.initialise import initialise_gaussians, initialise_surfels
from sage_ns.avatar.interior import interior_triangles
from sage_ns.avatar.light import RoomLight
from sage_ns.avatar.mouth import Mouth, load_mouth_prior, skin_color
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.prediction import SurfelNetworks
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.errors import HeadModelError
from sage_ns.field.pretraining import pretrain
from sage_ns.field.prior_mesh import PriorMesh, registered_prior
from sage_ns.geometry.spherical_harmonics import C0
from sage_ns.motion.source import MotionSource
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.system.console import console, escape
from sage_ns.system.parallel import cores_for_kernels
from sage_ns.training.config import LearnerConfig, require
from sage_ns.training.learner import Learner
from sage_ns.training.prior_shape import NUM_POINTS, PriorShape
from sage_ns.training.shown_mouth import MouthPixels, light_teeth

_ROOM_AROUND = 0.02
"""Distance between the farthest hair and the border of the field's cube, in metres."""


def start_learner(
    config: LearnerConfig,
    record: CaptureRecord,
    registered_views: Callable[[], Sequence[Shot]] | None,
    seed: int,
    complete: Callable[[CaptureRecord, Sequence[Shot]], BoundSurfels] | None = None,
) -> Learner:
    """Build the learner of an avatar.

    Args:
        config: settings to which a preset has been applied.
        record: rig, tracked motion, canonical moment and background of the capture.
        registered_views: returns pictures that show the head of the canonical moment, which initialise a new avatar.
            None builds an empty learner for loading a checkpoint.
        seed: random seed.
        complete: returns the first surfels of a new avatar, a whole person; None = those that the config names.

    Raises:
        SageError: a file that the config names cannot be used.
    """
    motion = MotionSource(record.flame_params, record.timesteps, record.canonical_row)
    rig = PersonalRig(record.head_model, record.flame_params)
    fresh = registered_views is not None
    shots = views = registered_views() if registered_views is not None else []
    canonical_motion = motion.canonical()
    prior = _read_prior(config, rig, canonical_motion) if fresh else None
    if fresh and config.mouth and config.mouth_from_pictures:
        shots = _without_mouths(rig, canonical_motion, shots)
    if fresh and complete is not None:
        surfels = complete(record, shots)
    else:
        surfels = _first_surfels(config, rig, canonical_motion, shots, fresh, seed)
    avatar = Avatar(
        rig,
        surfels,
        motion,
        interior_triangles(rig, canonical_motion, [shot.camera for shot in shots]),
        _build_mouth(config, rig.head_model, canonical_motion, surfels, with_light=bool(shots)),
        record.background,
        config.look(),
        RoomLight() if config.room_light else None,
    )
    if fresh and config.mouth_from_pictures:
        light_teeth(avatar, [shot for shot in views if shot.skull is None])
    avatar.provenance = record.provenance
    num_pictures = len(record.train_camera_centers)
    if not config.with_sdf:
        return Learner(config, avatar, None, None, num_pictures)
    canonical = _build_field(config, avatar, fresh, seed, prior)
    networks = _build_networks(config, avatar, canonical, fresh, seed) if config.networks else None
    shape = None
    if config.prior_mesh is not None:
        field = canonical.field
        shape = PriorShape.empty() if prior is None else PriorShape(
            prior.points_within(field.center, float(field.half_size), NUM_POINTS, seed)
        )  # fmt: skip
    return Learner(config, avatar, canonical, networks, num_pictures, shape)


def _read_prior(config: LearnerConfig, rig: PersonalRig, motion: Float[Tensor, "num_coefficients"]) -> PriorMesh | None:
    """Return the prior mesh that the settings name on the tracked head, and print how it fits; None without one.

    Raises:
        FieldError: the file cannot be used, or the mesh does not fit.
    """
    if config.prior_mesh is None or not config.with_sdf:
        return None
    model = rig.head_model
    face = model.regions.triangle_mask("face", model.triangles)
    found = registered_prior(
        config.prior_mesh, rig.vertices(motion), model.triangles, face if bool(face.any()) else None
    )
    console().print(f"[dim]{escape(found.summary())}[/dim]", soft_wrap=True)
    return found


def _without_mouths(
    rig: PersonalRig, motion: Float[Tensor, "num_coefficients"], shots: Sequence[Shot]
) -> Sequence[Shot]:
    """Return the pictures without their pixels that look into the mouth; as they are if the rig has none."""
    try:
        mouth = Mouth(rig.head_model, load_mouth_prior())
    except HeadModelError:  # said when the avatar's mouth is built
        return shots
    pixels = MouthPixels(mouth, rig, motion)
    return [pixels.left_out(shot) for shot in shots]


def _first_surfels(
    config: LearnerConfig,
    rig: PersonalRig,
    motion: Float[Tensor, "num_coefficients"],
    shots: Sequence[Shot],
    fresh: bool,
    seed: int,
) -> BoundSurfels:
    """Return surfels spread over the rig in the colours of the pictures, or Gaussians, or those of a file."""
    gaussians = config.primitives == "gaussians"
    if fresh and config.start_from is not None:
        return _surfels_to_start_from(config.start_from, rig.head_model, config.sh_degree, gaussians)
    if gaussians:
        generator = torch.Generator().manual_seed(seed)
        return initialise_gaussians(rig.head_model.num_triangles, config.sh_degree, generator)
    return initialise_surfels(
        rig.head_model,
        rig.vertices(motion),
        require(config.num_surfels, "num_surfels"),
        config.sh_degree,
        shots,
        config.hair_reach,
        torch.Generator().manual_seed(seed),
    )


def _surfels_to_start_from(path: Path, head_model: HeadModel, sh_degree: int, gaussians: bool) -> BoundSurfels:
    """Return the surfels, or the 3D Gaussians, of an avatar file.

    Raises:
        AvatarFileError: the file cannot be used, or it holds 3D Gaussians instead of surfels, or surfels instead.
    """
    surfels = surfels_of(path, head_model, sh_degree)
    if surfels.are_flat == gaussians:
        found, wanted = ("surfels", "3D Gaussians") if surfels.are_flat else ("3D Gaussians", "surfels")
        other = "surfels" if surfels.are_flat else "gaussians"
        raise AvatarFileError(
            f"{path}: 'surfels.log_scales': found {found}, expected {wanted}. Train with --pipeline.model.primitives "
            f"{other}, or start from another file."
        )
    return surfels


def _build_mouth(
    config: LearnerConfig,
    head_model: HeadModel,
    canonical_motion: Float[Tensor, "num_coefficients"],
    surfels: BoundSurfels,
    with_light: bool,
) -> Mouth | None:
    """Return the inside of the mouth, lit like the person's skin if pictures show it; None if it is not wanted, or the
    rig has none.

    The canonical moment is chosen for a face at rest. The one picture that shows the mouth's light may be a smile.
    """
    if not config.mouth:
        return None
    resting = None if config.mouth_from_pictures else canonical_motion[FlameParams.EXPRESSION]
    try:
        seen = (0.5 + C0 * surfels.sh_dc[:, 0]).detach()
        skin = skin_color(head_model, surfels.triangle, seen, surfels.opacity_logits.detach().sigmoid())
        return Mouth(head_model, load_mouth_prior(config.mouth_prior), skin if with_light else None, resting)
    except HeadModelError as error:
        console().print(f"[yellow]No mouth interior: {escape(str(error))}[/yellow]")
        return None


def _build_field(config: LearnerConfig, avatar: Avatar, fresh: bool, seed: int, prior: PriorMesh | None) -> Canonical:
    """Return the field in a cube around the canonical rig; for a new avatar, pre-train it on that rig, or the prior."""
    vertices = avatar.rig.vertices(avatar.motion.canonical())
    low, high = vertices.aminmax(dim=0)
    half_size = float((high - low).max()) / 2 + config.hair_reach + _ROOM_AROUND
    canonical = Canonical(config.sdf.settled(), (low + high) / 2, half_size, config.sh_degree, *config.ray_samples)
    if fresh:
        head = avatar.rig.head_model.triangles
        shape = (vertices, head) if prior is None else (prior.vertices.to(vertices), prior.triangles.to(head))
        pretrain(canonical.field, *shape, seed)
    return canonical


def _build_networks(
    config: LearnerConfig, avatar: Avatar, canonical: Canonical, fresh: bool, seed: int
) -> SurfelNetworks:
    """Return networks over the field; for a new avatar, fit them to the first surfels.

    Of the surfels' own parameters, only the centres remain trainable.
    """
    surfels = avatar.surfels
    sizes = surfels.num_surfels, config.sh_degree, config.sdf.hidden
    networks = SurfelNetworks(canonical, *sizes, config.networks_alone)
    if fresh:
        frames = avatar.rig.frames(avatar.motion.canonical())
        generator = torch.Generator().manual_seed(seed)
        with cores_for_kernels() if frames.scale.device.type == "cpu" else nullcontext():
            networks.imitate(canonical, surfels, frames, generator)
    for name in surfels.PARAMETERS[1:]:
        getattr(surfels, name).requires_grad_(False)
    return networks
