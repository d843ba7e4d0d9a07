"""The type of all motion in this package: one row of FLAME parameters per moment, and the source of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.errors import FlameParamsError
from sage_ns.rig import FlameParams, HeadModel, concatenate
from sage_ns.system.array_fields import write_npz

USUAL_FPS = 25.0
"""Moments per second of most recordings; used for motion without `fps`."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Motion of one or more sequences, without an identity. `Motion.of` fills in defaults.

    Raises:
        FlameParamsError: The number of timesteps or sequences differs from the number of rows.
    """

    params: FlameParams
    """One row per moment; shape coefficients are absent or zero, and there is no static offset."""
    timesteps: Int[Tensor, "num_rows"]
    """Timestep ids as the source numbers them."""
    sequences: Int[Tensor, "num_rows"]
    """Sequence of every row; rows of one sequence follow each other in time."""
    source: Path | str
    """Source of the motion: a file or folder, or a name for motion that was not read from a file."""
    fps: float | None = None
    """Rows per second; None if the source does not specify it."""
    notes: tuple[str, ...] = ()
    """Notes of the reader for the user."""

    def __post_init__(self) -> None:
        for name in ("timesteps", "sequences"):
            found = list(getattr(self, name).shape)
            if found != [self.num_rows]:
                raise FlameParamsError(
                    f"{self.source}: '{name}': found shape {found}, expected [{self.num_rows}], one entry per row of "
                    "the parameters"
                )

    @classmethod
    def of(
        cls,
        params: FlameParams,
        source: Path | str,
        timesteps: Int[Tensor, "num_rows"] | None = None,
        sequences: Int[Tensor, "num_rows"] | None = None,
        fps: float | None = None,
        notes: Sequence[str] = (),
    ) -> Motion:
        """Make motion from parameters; their identity is dropped.

        Args:
            params: One row per moment.
            source: Source of the parameters.
            timesteps: Ids of the rows; by default 0, 1, 2 and so on.
            sequences: Sequence of every row; by default all rows are one sequence.
            fps: Rows per second, if known.
            notes: Notes of the reader for the user.
        """
        rows = torch.arange(params.num_timesteps)
        return cls(
            params=replace(params, shape=params.shape[:0], static_offset=None),
            timesteps=rows if timesteps is None else timesteps,
            sequences=torch.zeros_like(rows) if sequences is None else sequences,
            source=source,
            fps=fps,
            notes=tuple(notes),
        )

    @property
    def num_rows(self) -> int:
        """Number of moments."""
        return self.params.num_timesteps

    @cached_property
    def vectors(self) -> Float[Tensor, "num_rows num_coefficients"]:
        """Motion vectors of all rows, see `FlameParams.motion_vector`."""
        return self.params.motion_vector()

    def __getitem__(self, rows: slice | Int[Tensor, "num_selected"] | Bool[Tensor, "num_rows"]) -> Motion:
        """Return the motion of the selected rows."""
        return replace(self, params=self.params[rows], timesteps=self.timesteps[rows], sequences=self.sequences[rows])

    def at(self, position: float) -> Float[Tensor, "num_coefficients"]:
        """Return the motion vector at a position in rows, from 0 to below `num_rows`.

        Between two rows of a sequence it is interpolated (`FlameParams.interpolate`). Between two sequences, and after
        the last row, it is the row before the position.
        """
        before = min(int(position), self.num_rows - 1)
        after = before + 1
        if position == before or after == self.num_rows or self.sequences[before] != self.sequences[after]:
            return self.vectors[before]
        ends = self.params[before : after + 1]
        return ends.interpolate(torch.tensor([position - before])).motion_vector()[0]

    def fitted(self, model: HeadModel) -> Motion:
        """Return the motion with exactly the head model's number of expression coefficients.

        Raises:
            FlameParamsError: More coefficients are in use than the model has; names the source.
        """
        try:
            params = replace(self.params, shape=self.params.shape[:0]).check_fits(model)
        except FlameParamsError as error:
            raise FlameParamsError(f"{self.source}: {error}") from error
        return replace(self, params=params)

    def save(self, path: Path | str) -> None:
        """Write parameters, timesteps and sequences as an npz that `sage_ns.motion.files.load_motion` can read."""
        rows = {name: np.asarray(getattr(self, name).cpu()) for name in ("timesteps", "sequences")}
        write_npz(Path(path).expanduser(), {**self.params.arrays(), **rows}, compress=True)


def joined(motions: Sequence[Motion], source: Path | str) -> Motion:
    """Concatenate motions and number their sequences consecutively.

    Args:
        motions: At least one; missing expression coefficients are filled with zeros.
        source: Source of the joined motion. Every note begins with the source of its own motion.

    Raises:
        FlameParamsError: `motions` is empty.
    """
    sequences, num_sequences = [], 0
    for motion in motions:
        ids, numbered = motion.sequences.unique(return_inverse=True)
        sequences.append(numbered + num_sequences)
        num_sequences += len(ids)
    rates = {motion.fps for motion in motions}
    return Motion(
        params=concatenate([motion.params for motion in motions]),
        timesteps=torch.cat([motion.timesteps for motion in motions]),
        sequences=torch.cat(sequences),
        source=source,
        fps=rates.pop() if len(rates) == 1 else None,
        notes=tuple(f"{motion.source}: {note}" for motion in motions for note in motion.notes),
    )
