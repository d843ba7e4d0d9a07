"""The one type that motion is handed over in: a row of FLAME parameters per moment, and where the rows came from."""

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
"""Moments per second of most recordings; for motion whose `fps` is not known."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Motion of one or more sequences, without an identity. `Motion.of` fills in what is usual.

    Raises:
        FlameParamsError: Timesteps or sequences are not one per row.
    """

    params: FlameParams
    """One row per moment; shape coefficients are absent or zero, and there is no static offset."""
    timesteps: Int[Tensor, "num_rows"]
    """Timestep ids as the source numbers them."""
    sequences: Int[Tensor, "num_rows"]
    """Which sequence every row belongs to; rows of one sequence follow each other in time."""
    source: Path | str
    """Where the motion came from: a file or folder, or a word for motion that was not read."""
    fps: float | None = None
    """Rows per second; None where the source does not say."""
    notes: tuple[str, ...] = ()
    """What a user should know about the reading."""

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
        """The motion of parameters; their identity is dropped.

        Args:
            params: One row per moment.
            source: Where they came from.
            timesteps: Ids of the rows; by default 0, 1, 2 and so on.
            sequences: Which sequence every row belongs to; by default all are one.
            fps: Rows per second, where that is known.
            notes: What a user should know about the reading.
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
        """The motion vectors, see `FlameParams.motion_vector`."""
        return self.params.motion_vector()

    def __getitem__(self, rows: slice | Int[Tensor, "num_selected"] | Bool[Tensor, "num_rows"]) -> Motion:
        """The given rows."""
        return replace(self, params=self.params[rows], timesteps=self.timesteps[rows], sequences=self.sequences[rows])

    def at(self, position: float) -> Float[Tensor, "num_coefficients"]:
        """The motion vector at a position in rows, from 0 to below `num_rows`.

        Between two rows of a sequence it is interpolated (`FlameParams.interpolate`). Between two sequences, and after
        the last row, the row before the position counts.
        """
        before = min(int(position), self.num_rows - 1)
        after = before + 1
        if position == before or after == self.num_rows or self.sequences[before] != self.sequences[after]:
            return self.vectors[before]
        ends = self.params[before : after + 1]
        return ends.interpolate(torch.tensor([position - before])).motion_vector()[0]

    def fitted(self, model: HeadModel) -> Motion:
        """The same motion with exactly the head model's number of expression coefficients.

        Raises:
            FlameParamsError: More coefficients are in use than the model has; names the source.
        """
        try:
            params = replace(self.params, shape=self.params.shape[:0]).check_fits(model)
        except FlameParamsError as error:
            raise FlameParamsError(f"{self.source}: {error}") from error
        return replace(self, params=params)

    def save(self, path: Path | str) -> None:
        """Write an npz that `sage_ns.motion.files.load_motion` reads back: parameters, timesteps and sequences."""
        rows = {name: np.asarray(getattr(self, name).cpu()) for name in ("timesteps", "sequences")}
        write_npz(Path(path).expanduser(), {**self.params.arrays(), **rows}, compress=True)


def joined(motions: Sequence[Motion], source: Path | str) -> Motion:
    """Motions one after the other, their sequences numbered through.

    Args:
        motions: At least one; shorter expressions are filled up with zeros.
        source: What to call the whole. Every note names the motion that it is about.

    Raises:
        FlameParamsError: There is none.
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
