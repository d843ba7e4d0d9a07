"""FLAME parameters of a whole capture: a dense table with one row per tracked timestep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.errors import CaptureError, FlameParamsError
from sage_ns.rig import (
    FlameParams,
    HeadModel,
    check_identity,
    check_plausible,
    concatenate,
    identity_vertices,
    pose_vertices,
)

IDENTITY_TOLERANCE = 1e-4
"""Shape coefficients (unitless) and static offsets (metres) that differ by less belong to one identity."""


@dataclass(frozen=True, eq=False)
class Tracking:
    """Motion of a capture. Timesteps are ids with gaps, rows are dense and ascending in timestep."""

    params: FlameParams
    """One row per timestep; one shape and static offset for all."""
    timesteps: Int[Tensor, "num_timesteps"]
    """Timestep id of every row."""
    num_other_identity: int
    """Number of rows that were tracked with another identity (in a union, each sequence is tracked separately)."""

    def row_of(self, timestep: int) -> int:
        """Return the row of a timestep id."""
        return int(torch.searchsorted(self.timesteps, timestep))

    def rows_of(self, timesteps: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
        """Return the rows of timestep ids."""
        return torch.searchsorted(self.timesteps, timesteps)

    def times_of(self, timesteps: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Return normalised times in 0..1: row / (num_timesteps - 1), or 0 if there is only one row."""
        return self.rows_of(timesteps) / max(len(self.timesteps) - 1, 1)


def load_tracking(flame_param_paths: Mapping[int, Path], model: HeadModel) -> dict[int, FlameParams]:
    """Load the parameters of every timestep; check that a head can have them and that they fit the head model.

    Raises:
        FlameParamsError: a file is broken, was tracked with another head model, or has values that no head can have
            (`check_plausible`); names file, field, timestep and value.
        CaptureError: a file holds a whole sequence instead of one moment.
    """
    moments = {}
    for timestep, path in flame_param_paths.items():
        params = _fitting(FlameParams.load(path), model, path)
        if params.num_timesteps != 1:
            raise CaptureError(
                f"{path}: holds {params.num_timesteps} timesteps; a capture has one parameter file per timestep. "
                "Export the sequence with VHAP's writer."
            )
        moments[timestep] = params
    _check_plausible(moments, flame_param_paths)
    return moments


def tabulate(moments: Mapping[int, FlameParams], canonical_timestep: int) -> Tracking:
    """Stack single moments into one table that has the identity of the canonical timestep.

    The sequences of a union may be tracked with different shapes and offsets; an avatar has one shape and offset.
    """
    timesteps = sorted(moments)
    canonical = moments[canonical_timestep]
    others = sum(not _same_identity(params, canonical) for params in moments.values())
    params = concatenate([moments[timestep].with_identity(canonical) for timestep in timesteps])
    return Tracking(params, torch.tensor(timesteps, dtype=torch.int64), others)


def expression_magnitude(params: FlameParams, model: HeadModel, chunk: int = 64) -> Float[Tensor, "num_timesteps"]:
    """Return how far expression and jaw move the face away from neutral: RMS vertex displacement in metres.

    The result is the largest of three values, for the whole head, the eye region and the lips: in the mean over the
    whole head a blink would vanish. Head pose and gaze do not count.
    """
    return _displacement(params, model, identity_vertices(model, params), chunk)


def expression_distances(
    params: FlameParams, model: HeadModel, row: int, chunk: int = 64
) -> Float[Tensor, "num_timesteps"]:
    """Return how far expression and jaw of every moment move the face away from the moment of ``row``.

    RMS vertex displacement in metres, as :func:`expression_magnitude` measures it from neutral.
    """
    return _displacement(params, model, pose_vertices(model, expression_alone(params[row]))[0], chunk)


def _displacement(
    params: FlameParams, model: HeadModel, origin: Float[Tensor, "num_vertices 3"], chunk: int
) -> Float[Tensor, "num_timesteps"]:
    """Return the RMS distance of the vertices, posed by expression and jaw alone, from ``origin`` [metres]."""
    still = expression_alone(params)
    regions = [model.regions.vertices(name) for name in ("eye_region", "lips")]
    magnitudes = []
    for start in range(0, params.num_timesteps, chunk):
        squared = (pose_vertices(model, still[start : start + chunk]) - origin).square().sum(-1)
        parts = [squared.mean(-1), *(squared[:, region].mean(-1) for region in regions if len(region))]
        magnitudes.append(torch.stack(parts).amax(0).sqrt())
    return torch.cat(magnitudes)


def expression_alone(params: FlameParams) -> FlameParams:
    """Return the parameters without head pose, gaze and translation."""
    return replace(
        params,
        rotation=torch.zeros_like(params.rotation),
        neck_pose=torch.zeros_like(params.neck_pose),
        eyes_pose=torch.zeros_like(params.eyes_pose),
        translation=torch.zeros_like(params.translation),
    )


def _check_plausible(moments: Mapping[int, FlameParams], paths: Mapping[int, Path]) -> None:
    """Check the motion of all moments together, because only a sequence shows its unit, and every identity alone."""
    if not moments:
        return
    timesteps = list(moments)

    def place(row: int) -> str:
        return f"{paths[timesteps[row]]}: timestep {timesteps[row]}"

    check_plausible(concatenate(list(moments.values())), place)
    for row, timestep in enumerate(timesteps):
        check_identity(moments[timestep], place(row))


def _fitting(params: FlameParams, model: HeadModel, path: Path) -> FlameParams:
    try:
        return params.check_fits(model)
    except FlameParamsError as error:
        raise FlameParamsError(f"{path}: {error}") from error


def _same_identity(a: FlameParams, b: FlameParams) -> bool:
    if (a.static_offset is None) != (b.static_offset is None) or a.shape.shape != b.shape.shape:
        return False
    if bool(((a.shape - b.shape).abs() > IDENTITY_TOLERANCE).any()):
        return False
    if a.static_offset is None or b.static_offset is None:
        return True
    same_size = a.static_offset.shape == b.static_offset.shape
    return same_size and bool((a.static_offset - b.static_offset).abs().max() <= IDENTITY_TOLERANCE)
