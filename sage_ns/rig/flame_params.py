"""FLAME parameters of one moment or of a whole sequence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.errors import FlameParamsError
from sage_ns.geometry.rotations import axis_angle_to_quaternion, quaternion_slerp, quaternion_to_axis_angle
from sage_ns.rig.flame_files import EXPORT_AGAIN, IDENTITY_SHAPES, MOTION_SHAPES, in_time_order, read_fields
from sage_ns.rig.head_model import HeadModel
from sage_ns.system.array_fields import write_npz

_ROTATIONS = ("rotation", "neck_pose", "jaw_pose", "eyes_pose")
_MOTION = tuple(MOTION_SHAPES)
NUM_POSE = 18
"""Length of a motion vector without the expression. For its parts use the slices of `FlameParams`."""
FLAME_NUM_VERTICES, FLAME_TEETH_NUM_VERTICES = 5023, 5143
"""Numbers of vertices of FLAME, without and with the teeth that the VHAP tracker appends."""


@dataclass(frozen=True, eq=False)
class FlameParams:
    """Identity (one) and motion (one row per timestep; a single moment has one row) of a head. Angles in radians.

    The slices in capitals name the parts of a motion vector: ``vector[..., FlameParams.JAW]`` is the jaw's axis-angle.
    `HEAD`, `NECK`, `JAW`, `EYES` and `EXPRESSION` are the whole vector, in this order.
    """

    HEAD: ClassVar = slice(0, 6)
    """Position of the head: translation and global rotation, which anatomy does not limit."""
    TRANSLATION: ClassVar = slice(0, 3)
    ROTATION: ClassVar = slice(3, 6)
    NECK: ClassVar = slice(6, 9)
    JAW: ClassVar = slice(9, 12)
    EYES: ClassVar = slice(12, NUM_POSE)
    LEFT_EYE: ClassVar = slice(12, 15)
    RIGHT_EYE: ClassVar = slice(15, NUM_POSE)
    EXPRESSION: ClassVar = slice(NUM_POSE, None)
    FROM_NECK: ClassVar = slice(6, None)
    """All but `HEAD`: the part taken from the driver when the avatar keeps its own head position."""

    shape: Float[Tensor, "num_shape"]
    expr: Float[Tensor, "num_timesteps num_expression"]
    rotation: Float[Tensor, "num_timesteps 3"]
    """Global rotation about the root joint, axis-angle."""
    neck_pose: Float[Tensor, "num_timesteps 3"]
    jaw_pose: Float[Tensor, "num_timesteps 3"]
    """Axis-angle; a positive first entry opens the mouth."""
    eyes_pose: Float[Tensor, "num_timesteps 6"]
    """Axis-angle of the left, then of the right eye."""
    translation: Float[Tensor, "num_timesteps 3"]
    """Metres, added after skinning."""
    static_offset: Float[Tensor, "num_vertices 3"] | None = None
    """Metres, added to the unposed head; constant for the person."""

    @property
    def num_timesteps(self) -> int:
        """Number of timesteps."""
        return self.expr.shape[0]

    @classmethod
    def neutral(cls, model: HeadModel) -> FlameParams:
        """Return the mean head at rest as one timestep, on the device of the model."""
        zeros = model.v_template.new_zeros
        return cls(
            shape=zeros(model.num_shape),
            expr=zeros(1, model.num_expression),
            rotation=zeros(1, 3),
            neck_pose=zeros(1, 3),
            jaw_pose=zeros(1, 3),
            eyes_pose=zeros(1, 6),
            translation=zeros(1, 3),
        )

    def __getitem__(
        self, rows: int | slice | Int[Tensor, "num_selected"] | Bool[Tensor, "num_timesteps"]
    ) -> FlameParams:
        """Select timesteps. A single index keeps the leading dimension."""
        if isinstance(rows, int):
            if not -self.num_timesteps <= rows < self.num_timesteps:
                raise IndexError(f"timestep {rows} of {self.num_timesteps}")
            rows = slice(rows, None if rows == -1 else rows + 1)
        return replace(self, **{name: getattr(self, name)[rows] for name in _MOTION})

    def to(self, device: torch.device | str) -> FlameParams:
        """Return the same parameters on another device."""
        offset = None if self.static_offset is None else self.static_offset.to(device)
        return replace(
            self, static_offset=offset, **{name: getattr(self, name).to(device) for name in (*_MOTION, "shape")}
        )

    def with_identity(self, other: FlameParams) -> FlameParams:
        """Return this motion with the shape and static offset of other parameters."""
        return replace(self, shape=other.shape, static_offset=other.static_offset)

    def interpolate(self, position: Float[Tensor, "num_positions"]) -> FlameParams:
        """Interpolate between timesteps: rotations along the shorter arc, everything else linearly.

        Args:
            position: Timesteps, in 0..num_timesteps-1. Whole numbers return the stored rows exactly.

        Raises:
            FlameParamsError: A position lies outside.
        """
        last = self.num_timesteps - 1
        position = position.to(self.expr)
        if not bool(((position >= 0) & (position <= last)).all()):
            raise FlameParamsError(f"interpolate: found positions {position.tolist()}, expected all within 0..{last}")
        before = position.floor().long()
        after = (before + 1).clamp_max(last)
        fraction = position - before

        def between(name: str) -> Tensor:
            start, end = getattr(self, name)[before], getattr(self, name)[after]
            if name not in _ROTATIONS:
                return torch.lerp(start, end, fraction[:, None])
            start, end = start.unflatten(-1, (-1, 3)), end.unflatten(-1, (-1, 3))
            along = fraction[:, None].expand(start.shape[:-1])
            turned = quaternion_slerp(axis_angle_to_quaternion(start), axis_angle_to_quaternion(end), along)
            on_row = (fraction == 0)[:, None, None]
            return torch.where(on_row, start, quaternion_to_axis_angle(turned)).flatten(-2)

        return replace(self, **{name: between(name) for name in _MOTION})

    def motion_vector(self) -> Float[Tensor, "num_timesteps motion"]:
        """Return motion as one row per timestep: translation 3, rotation 3, neck 3, jaw 3, eyes 6, expression.

        The slices of this class (`HEAD`, `NECK`, `JAW`, `EYES`, `EXPRESSION`) select its parts.
        """
        return torch.cat([getattr(self, name) for name in _PARTS], dim=-1)

    @classmethod
    def from_motion_vector(
        cls, vector: Float[Tensor, "num_timesteps motion"], like: FlameParams | None = None
    ) -> FlameParams:
        """Return the parameters of a motion vector, with the identity of ``like``; by default with the mean head.

        Raises:
            FlameParamsError: The length of the vector does not fit the expression of ``like``.
        """
        num_expression = vector.shape[-1] - NUM_POSE if like is None else like.expr.shape[-1]
        expected = NUM_POSE + num_expression
        if vector.ndim != 2 or vector.shape[-1] != expected or num_expression < 0:
            found, expected = list(vector.shape), max(expected, NUM_POSE)
            raise FlameParamsError(f"motion vector: found shape {found}, expected [num_timesteps, {expected}]")
        return cls(
            shape=vector.new_zeros(0) if like is None else like.shape,
            static_offset=None if like is None else like.static_offset,
            **{name: vector[:, part] for name, part in _PARTS.items()},
        )

    def check_fits(self, model: HeadModel) -> FlameParams:
        """Return these parameters with the numbers of coefficients and vertices of a head model.

        Missing coefficients become zeros, and surplus ones are cut if they are zeros. A static offset for the 5023
        vertices of FLAME is extended by zeros to the 5143 of FLAME with teeth. In the opposite case the rows of the
        teeth are cut: the VHAP tracker appends them, and FLAME's own file does not have them.

        Raises:
            FlameParamsError: Surplus coefficients are not 0, or the static offset belongs to another mesh.
        """
        offset = self.static_offset
        fits = self.shape.shape[-1] == model.num_shape and self.expr.shape[-1] == model.num_expression
        if fits and (offset is None or offset.shape[0] == model.num_vertices):
            return self
        if offset is not None and offset.shape[0] != model.num_vertices:
            if {offset.shape[0], model.num_vertices} != {FLAME_NUM_VERTICES, FLAME_TEETH_NUM_VERTICES}:
                raise FlameParamsError(
                    f"'static_offset': found {offset.shape[0]} vertices, but head model '{model.name}' has "
                    f"{model.num_vertices}. The sequence was probably tracked with another head model: use that one."
                )
            offset = F.pad(offset[: model.num_vertices], (0, 0, 0, max(model.num_vertices - offset.shape[0], 0)))
        return replace(
            self,
            shape=_resized("shape", self.shape, model.num_shape, model.name),
            expr=_resized("expr", self.expr, model.num_expression, model.name),
            static_offset=offset,
        )

    @classmethod
    def load(cls, path: Path | str, identity: Collection[str] = tuple(IDENTITY_SHAPES)) -> FlameParams:
        """Load parameters from an npz file, or from a folder with one file per timestep (see `load_folder`).

        Supported are the files that VHAP exports per frame, its `canonical_flame_param.npz` and
        `tracked_flame_params_*.npz`, the `flame_param.npz` of GaussianAvatars, and sequences with the same fields.
        `static_offset` may be absent; a `dynamic_offset` is ignored, as in GaussianAvatars.

        Args:
            path: The file or folder.
            identity: Which of `shape` and `static_offset` to load. A driver's are not needed: a field that is not
                loaded may be absent, or have one row per timestep.

        Raises:
            FlameParamsError: The file is missing or broken, or a field is missing, misshapen or not finite.
        """
        path = Path(path)
        if path.is_dir():
            return cls.load_folder(path, identity)
        return cls._of_file(path, identity)

    @classmethod
    def load_folder(cls, folder: Path | str, identity: Collection[str] = tuple(IDENTITY_SHAPES)) -> FlameParams:
        """Load a folder of npz files, one timestep each, in the order of their names; identity from the first.

        Args:
            folder: The folder.
            identity: Which of `shape` and `static_offset` to load, see `load`.

        Raises:
            FlameParamsError: There are no npz files, or one of them cannot be read.
        """
        paths = in_time_order(Path(folder).glob("*.npz"))
        if not paths:
            raise FlameParamsError(f"{folder}: found no npz files, expected one per timestep. {EXPORT_AGAIN}")
        return concatenate([cls._of_file(path, identity) for path in paths])

    @classmethod
    def _of_file(cls, path: Path, identity: Collection[str]) -> FlameParams:
        fields = read_fields(path, identity)
        return cls(**{"shape": fields["expr"].new_zeros(0), **fields})

    def save_vhap(self, path: Path | str) -> None:
        """Write VHAP's format: one file if the path ends in .npz, else a folder of `{timestep:05d}.npz` files."""
        path = Path(path)
        if path.suffix == ".npz":
            write_npz(path, self.arrays())
            return
        for timestep in range(self.num_timesteps):
            write_npz(path / f"{timestep:05d}.npz", self[timestep].arrays())

    def save_gaussian_avatars(self, path: Path | str, num_vertices: int | None = None) -> None:
        """Write the `flame_param.npz` that GaussianAvatars keeps beside its point cloud.

        Its viewer requires both offsets: the dynamic one, and a missing static one, are written as zeros.

        Args:
            path: File to write.
            num_vertices: Number of vertices of the head model; required without a static offset.

        Raises:
            FlameParamsError: There is neither a static offset nor ``num_vertices``.
        """
        num_vertices = num_vertices if self.static_offset is None else self.static_offset.shape[0]
        if num_vertices is None:
            raise FlameParamsError(f"{path}: 'static_offset' is absent: give num_vertices to write zeros in its place")
        zeros = np.zeros((self.num_timesteps, num_vertices, 3), dtype=np.float32)
        write_npz(Path(path), {"static_offset": zeros[:1], "dynamic_offset": zeros, **self.arrays()})

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the fields as float32 arrays, with the names and shapes of VHAP's files."""
        tensors = {name: getattr(self, name) for name in (*_MOTION, "shape")}
        if self.static_offset is not None:
            tensors["static_offset"] = self.static_offset[None]
        return {name: tensor.detach().cpu().numpy().astype(np.float32) for name, tensor in tensors.items()}


_PARTS = {
    "translation": FlameParams.TRANSLATION,
    "rotation": FlameParams.ROTATION,
    "neck_pose": FlameParams.NECK,
    "jaw_pose": FlameParams.JAW,
    "eyes_pose": FlameParams.EYES,
    "expr": FlameParams.EXPRESSION,
}
"""Fields in the order of a motion vector, and their slices in it."""


def concatenate(sequences: Sequence[FlameParams]) -> FlameParams:
    """Join sequences in time, with the identity of the first. Shorter expressions are padded with zeros.

    Raises:
        FlameParamsError: There are no sequences.
    """
    if not sequences:
        raise FlameParamsError("concatenate: found no sequences, expected at least one")
    num_expression = max(params.expr.shape[-1] for params in sequences)
    rows = {name: torch.cat([getattr(params, name) for params in sequences]) for name in (*_ROTATIONS, "translation")}
    expr = torch.cat([F.pad(params.expr, (0, num_expression - params.expr.shape[-1])) for params in sequences])
    return replace(sequences[0], expr=expr, **rows)


def _resized(name: str, coefficients: Tensor, size: int, model_name: str) -> Tensor:
    """Cut coefficients, or pad them with zeros, to a size; only zeros may be cut."""
    surplus = coefficients.detach()[..., size:]
    if bool((surplus != 0).any()):
        used = size + 1 + int((surplus != 0).nonzero()[:, -1].max())
        raise FlameParamsError(
            f"'{name}': found {used} coefficients in use, but head model '{model_name}' has {size}. "
            "The sequence was probably tracked with another head model: use that one."
        )
    return F.pad(coefficients[..., :size], (0, max(size - coefficients.shape[-1], 0)))
