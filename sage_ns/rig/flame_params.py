"""FLAME's parameters for one moment or a whole sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.errors import FlameParamsError
from sage_ns.geometry.rotations import axis_angle_to_quaternion, quaternion_slerp, quaternion_to_axis_angle
from sage_ns.rig.head_model import HeadModel
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz

_ROTATIONS = ("rotation", "neck_pose", "jaw_pose", "eyes_pose")
_MOTION = (*_ROTATIONS, "translation", "expr")
_IDENTITY = ("shape", "static_offset")
NUM_POSE = 18
"""Numbers of a motion vector before the expression."""
_FLAME_NUM_VERTICES, _FLAME_TEETH_NUM_VERTICES = 5023, 5143
"""FLAME's vertices, without and with the teeth that VHAP's tracker adds at the end."""
_HINT = "Export the sequence again with its tracker."


@dataclass(frozen=True, eq=False)
class FlameParams:
    """Identity (one) and motion (one row per timestep; a single moment has one row) of a head. Angles in radians."""

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
    """Metres, added last."""
    static_offset: Float[Tensor, "num_vertices 3"] | None = None
    """Metres, added to the unposed head of this person."""

    @property
    def num_timesteps(self) -> int:
        """Number of timesteps."""
        return self.expr.shape[0]

    @classmethod
    def neutral(cls, model: HeadModel) -> FlameParams:
        """The model's mean head at rest, one timestep, on the model's device."""
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
        """The given timesteps. A single index keeps the leading dimension."""
        if isinstance(rows, int):
            if not -self.num_timesteps <= rows < self.num_timesteps:
                raise IndexError(f"timestep {rows} of {self.num_timesteps}")
            rows = slice(rows, None if rows == -1 else rows + 1)
        return replace(self, **{name: getattr(self, name)[rows] for name in _MOTION})

    def to(self, device: torch.device | str) -> FlameParams:
        """The same parameters on another device."""
        offset = None if self.static_offset is None else self.static_offset.to(device)
        return replace(
            self, static_offset=offset, **{name: getattr(self, name).to(device) for name in (*_MOTION, "shape")}
        )

    def with_identity(self, other: FlameParams) -> FlameParams:
        """This motion on the other's head: its shape and static offset."""
        return replace(self, shape=other.shape, static_offset=other.static_offset)

    def interpolate(self, position: Float[Tensor, "num_positions"]) -> FlameParams:
        """Parameters between timesteps: rotations along the shorter arc, everything else linearly.

        Args:
            position: Where to read, in 0..num_timesteps-1. At whole numbers the stored rows are returned exactly.

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
        """Motion as one row per timestep: translation 3, rotation 3, neck 3, jaw 3, eyes 6, then the expression."""
        return torch.cat(
            [self.translation, self.rotation, self.neck_pose, self.jaw_pose, self.eyes_pose, self.expr], dim=-1
        )

    @classmethod
    def from_motion_vector(
        cls, vector: Float[Tensor, "num_timesteps motion"], like: FlameParams | None = None
    ) -> FlameParams:
        """The motion of `motion_vector` on the identity of other parameters; by default on the mean head.

        Raises:
            FlameParamsError: The vector's size does not fit the others' expression.
        """
        num_expression = vector.shape[-1] - NUM_POSE if like is None else like.expr.shape[-1]
        expected = NUM_POSE + num_expression
        if vector.ndim != 2 or vector.shape[-1] != expected or num_expression < 0:
            found, expected = list(vector.shape), max(expected, NUM_POSE)
            raise FlameParamsError(f"motion vector: found shape {found}, expected [num_timesteps, {expected}]")
        translation, rotation, neck, jaw, eyes, expr = vector.split([3, 3, 3, 3, 6, num_expression], dim=-1)
        return cls(
            shape=vector.new_zeros(0) if like is None else like.shape,
            expr=expr,
            rotation=rotation,
            neck_pose=neck,
            jaw_pose=jaw,
            eyes_pose=eyes,
            translation=translation,
            static_offset=None if like is None else like.static_offset,
        )

    def check_fits(self, model: HeadModel) -> FlameParams:
        """These parameters with exactly the model's numbers of coefficients and vertices.

        Missing coefficients are zeros, and surplus ones may be cut if they are zeros. A static offset for FLAME's 5023
        vertices is extended by zeros to the 5143 of FLAME with teeth; the other way round the rows of the teeth, which
        VHAP's tracker appends and FLAME's own file does not have, are left out.

        Raises:
            FlameParamsError: Surplus coefficients are in use, or the static offset is of another mesh.
        """
        offset = self.static_offset
        fits = self.shape.shape[-1] == model.num_shape and self.expr.shape[-1] == model.num_expression
        if fits and (offset is None or offset.shape[0] == model.num_vertices):
            return self
        if offset is not None and offset.shape[0] != model.num_vertices:
            if {offset.shape[0], model.num_vertices} != {_FLAME_NUM_VERTICES, _FLAME_TEETH_NUM_VERTICES}:
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
    def load(cls, path: Path | str) -> FlameParams:
        """Read parameters from an npz file, or from a folder with one file per timestep (see `load_folder`).

        Reads what VHAP exports per frame, its `canonical_flame_param.npz` and `tracked_flame_params_*.npz`,
        GaussianAvatars' `flame_param.npz`, and sequences with the same names. `static_offset` may be absent; a
        `dynamic_offset` is ignored, as GaussianAvatars does.

        Raises:
            FlameParamsError: The file is missing or broken, or a field is missing, misshapen or not finite.
        """
        path = Path(path)
        if path.is_dir():
            return cls.load_folder(path)
        arrays = read_npz(path, FlameParamsError, (*_MOTION, *_IDENTITY))
        arrays = {name: _with_usual_dimensions(name, array) for name, array in arrays.items()}
        read = ArrayFields(str(path), arrays, FlameParamsError, _HINT)
        expr = read.floats("expr", "num_timesteps num_expression")
        if len(expr) == 0:
            raise read.fail("expr", "no timesteps", "at least one")
        return cls(
            shape=read.floats("shape", "num_shape"),
            expr=expr,
            rotation=read.floats("rotation", "num_timesteps 3"),
            neck_pose=read.floats("neck_pose", "num_timesteps 3"),
            jaw_pose=read.floats("jaw_pose", "num_timesteps 3"),
            eyes_pose=read.floats("eyes_pose", "num_timesteps 6"),
            translation=read.floats("translation", "num_timesteps 3"),
            static_offset=read.floats("static_offset", "num_vertices 3") if "static_offset" in read else None,
        )

    @classmethod
    def load_folder(cls, folder: Path | str) -> FlameParams:
        """Read a folder of npz files, one timestep each, in the order of their names; the first gives the identity.

        Raises:
            FlameParamsError: There are none, or one cannot be read.
        """
        paths = sorted(Path(folder).glob("*.npz"), key=lambda path: (len(path.stem), path.stem))
        if not paths:
            raise FlameParamsError(f"{folder}: found no npz files, expected one per timestep. {_HINT}")
        return concatenate([cls.load(path) for path in paths])

    def save_vhap(self, path: Path | str) -> None:
        """Write as VHAP does: into one file (a path that ends in .npz), or a folder with `{timestep:05d}.npz` files."""
        path = Path(path)
        if path.suffix == ".npz":
            write_npz(path, self._arrays())
            return
        for timestep in range(self.num_timesteps):
            write_npz(path / f"{timestep:05d}.npz", self[timestep]._arrays())

    def save_gaussian_avatars(self, path: Path | str, num_vertices: int | None = None) -> None:
        """Write the `flame_param.npz` that GaussianAvatars keeps beside its point cloud.

        Its viewer insists on offsets: the dynamic one is written as zeros, and so is an absent static one.

        Args:
            path: File to write.
            num_vertices: Vertices of the head model; needed if there is no static offset.

        Raises:
            FlameParamsError: The number of vertices is not known.
        """
        num_vertices = num_vertices if self.static_offset is None else self.static_offset.shape[0]
        if num_vertices is None:
            raise FlameParamsError(f"{path}: 'static_offset' is absent: give num_vertices to write zeros in its place")
        zeros = np.zeros((self.num_timesteps, num_vertices, 3), dtype=np.float32)
        write_npz(Path(path), {"static_offset": zeros[:1], "dynamic_offset": zeros, **self._arrays()})

    def _arrays(self) -> dict[str, np.ndarray]:
        tensors = {name: getattr(self, name) for name in (*_MOTION, "shape")}
        if self.static_offset is not None:
            tensors["static_offset"] = self.static_offset[None]
        return {name: tensor.detach().cpu().numpy().astype(np.float32) for name, tensor in tensors.items()}


def concatenate(sequences: Sequence[FlameParams]) -> FlameParams:
    """The sequences one after the other, on the identity of the first. Shorter expressions are filled up with zeros.

    Raises:
        FlameParamsError: There is none.
    """
    if not sequences:
        raise FlameParamsError("concatenate: found no sequences, expected at least one")
    num_expression = max(params.expr.shape[-1] for params in sequences)
    rows = {name: torch.cat([getattr(params, name) for params in sequences]) for name in (*_ROTATIONS, "translation")}
    expr = torch.cat([F.pad(params.expr, (0, num_expression - params.expr.shape[-1])) for params in sequences])
    return replace(sequences[0], expr=expr, **rows)


def _resized(name: str, coefficients: Tensor, size: int, model_name: str) -> Tensor:
    """Coefficients cut or filled up with zeros to a size; only zeros may be cut."""
    surplus = coefficients.detach()[..., size:]
    if bool((surplus != 0).any()):
        used = size + 1 + int((surplus != 0).nonzero()[:, -1].max())
        raise FlameParamsError(
            f"'{name}': found {used} coefficients in use, but head model '{model_name}' has {size}. "
            "The sequence was probably tracked with another head model: use that one."
        )
    return F.pad(coefficients[..., :size], (0, max(size - coefficients.shape[-1], 0)))


def _with_usual_dimensions(name: str, array: np.ndarray) -> np.ndarray:
    """Files disagree about leading dimensions of one: a shape has none here, motion always has its timesteps."""
    if name == "shape" and array.ndim == 2 and len(array) and (array == array[:1]).all():
        return array[0]
    if name == "static_offset" and array.ndim == 3 and len(array) == 1:
        return array[0]
    if name in _MOTION and array.ndim == 1:
        return array[None]
    return array
