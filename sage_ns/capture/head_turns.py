"""Frames of a turning head: with little expression, spread over the directions that they show the head from, sharp."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from sage_ns.capture.flame_table import expression_distances
from sage_ns.capture.frames import Frame
from sage_ns.capture.head_direction import SeenFrom, seen_from
from sage_ns.capture.selection import angles
from sage_ns.capture.sharp_frames import sharpness_of
from sage_ns.capture.splits import FramesMode
from sage_ns.errors import CaptureError
from sage_ns.geometry.farthest_points import farthest_first
from sage_ns.rig import FlameParams, HeadModel, concatenate

CELL = 7.0
"""Degrees of yaw and of pitch; frames of one cell show nearly the same."""
NUM_FRAMES = 60
"""Largest number of frames unless the user gives another one."""
LITTLE_EXPRESSION = 0.0025
"""Metres, as `expression_distances` measures; tracking errors of still faces reach 1.5 mm."""
ENOUGH_SPAN, LEAST_SPAN = 60.0, 10.0
"""Degrees of yaw below which the sides of the head remain guesses, and below which nothing but the front is seen."""


@dataclass(frozen=True, eq=False)
class HeadTurns:
    """Frames of a turning head, and what they show."""

    frames: tuple[Frame, ...]
    num_left_out: int
    """Frames with too much expression."""
    seen: SeenFrom
    """Directions of the frames."""

    @property
    def span(self) -> float:
        """Degrees from the leftmost to the rightmost direction."""
        return float(self.seen.yaw.max() - self.seen.yaw.min())

    def summary(self) -> str:
        """Return the coverage in words."""
        yaw, pitch = self.seen.yaw, self.seen.pitch
        return (
            f"{len(self.frames)} frames of a turning head, seen from {yaw.min():+.0f} to {yaw.max():+.0f} degrees "
            f"sideways and from {pitch.min():+.0f} to {pitch.max():+.0f} upwards, in {len(set(cells(self.seen)))} "
            f"directions; {self.num_left_out} frames with more expression are left out."
        )

    def warning(self) -> str | None:
        """Return what is missing for whole sides of the head; None if nothing is."""
        if self.span >= ENOUGH_SPAN:
            return None
        return (
            f"The head turns by {self.span:.0f} degrees only: the sides of the head will be guesses. Turn by "
            f"{ENOUGH_SPAN / 2:.0f} degrees or more to both sides when you record."
        )


def cells(seen: SeenFrom) -> list[tuple[int, int]]:
    """Return the cell of yaw and pitch that each direction lies in."""
    grid = torch.stack([seen.yaw, seen.pitch], dim=-1).div(CELL).round().long()
    return [(int(yaw), int(pitch)) for yaw, pitch in grid]


def check_num_frames(num_frames: int | None, mode: FramesMode) -> None:
    """Check the number of frames by itself, before anything is read.

    Raises:
        CaptureError: it is below 2, or given for other training moments than those of a turning head.
    """
    if num_frames is None:
        return
    if mode != "rotation":
        raise CaptureError(f"num_frames is {num_frames}, but frames is {mode}. Give --frames rotation, too.")
    if num_frames < 2:
        raise CaptureError(f"num_frames is {num_frames}; give a whole number >= 2, or leave the option out for 60.")


def head_turns(
    frames: Sequence[Frame],
    canonical: int,
    moments: Mapping[int, FlameParams],
    model: HeadModel,
    capture: str,
    num_frames: int | None = None,
) -> HeadTurns:
    """Choose frames that show one face from many sides.

    Frames whose expression differs from the canonical one are left out. Of each cell of directions the sharpest frame
    is taken first, then the second sharpest, and so on; cells in the order of farthest directions, from the canonical
    frame on.

    Args:
        frames: training frames; one at least is of the canonical moment.
        canonical: timestep id of the canonical moment.
        moments: parameters by timestep id.
        model: head model of the capture.
        capture: name of the capture, for messages.
        num_frames: largest number of frames; None = 60.

    Raises:
        CaptureError: there is one frame only, or the head does not turn, or a picture cannot be read.
    """
    calm = _calm(frames, canonical, moments, model)
    seen = seen_from(calm, moments, model)
    turns = HeadTurns(tuple(calm), len(frames) - len(calm), seen)
    if len(calm) < 2:
        raise CaptureError(
            f"{capture}: frames is rotation, but {len(calm)} of {len(frames)} training frames shows the head with the "
            f"expression of the canonical timestep {canonical}. Record a head that turns with a still face; with other "
            "expressions, give --frames all; one picture alone needs --frames single."
        )
    if turns.span < LEAST_SPAN:
        raise CaptureError(
            f"{capture}: frames is rotation, but the head turns by {turns.span:.1f} degrees only in the {len(calm)} "
            f"training frames with little expression; expected {ENOUGH_SPAN:.0f} or more. Record a head that turns; to "
            "train on these frames anyway, give --frames all."
        )
    chosen = sorted(_spread(calm, canonical, seen, NUM_FRAMES if num_frames is None else num_frames))
    return HeadTurns(tuple(calm[row] for row in chosen), turns.num_left_out, SeenFrom(seen.directions[chosen]))


def strata(
    frames: Sequence[Frame], canonical: int, moments: Mapping[int, FlameParams], model: HeadModel
) -> Int[Tensor, "num_frames"]:
    """Return a group for each frame: frames of one group show the head from one direction with a similar expression.

    Training that visits every group equally often sees a rare turn as often as the long rest in the middle of a clip.
    """
    first = moments[canonical]
    params = concatenate([moments[frame.timestep].with_identity(first) for frame in frames])
    row = next(row for row, frame in enumerate(frames) if frame.timestep == canonical)
    level = expression_distances(params, model, row).div(LITTLE_EXPRESSION).long().tolist()
    keys = list(zip(cells(seen_from(frames, moments, model)), level, strict=True))
    number = {key: index for index, key in enumerate(sorted(set(keys)))}
    return torch.tensor([number[key] for key in keys])


def _calm(frames: Sequence[Frame], canonical: int, moments: Mapping[int, FlameParams], model: HeadModel) -> list[Frame]:
    """Return the frames whose expression is that of the canonical moment, in order."""
    timesteps = sorted({frame.timestep for frame in frames})
    params = concatenate([moments[timestep].with_identity(moments[canonical]) for timestep in timesteps])
    distances = expression_distances(params, model, timesteps.index(canonical))
    calm = {timestep for timestep, off in zip(timesteps, distances.tolist(), strict=True) if off <= LITTLE_EXPRESSION}
    return [frame for frame in frames if frame.timestep in calm]


def _spread(frames: Sequence[Frame], canonical: int, seen: SeenFrom, most: int) -> list[int]:
    """Return the rows of at most ``most`` frames, see `head_turns`."""
    if len(frames) <= most:
        return list(range(len(frames)))
    members: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, cell in enumerate(cells(seen)):
        members[cell].append(row)
    sharp = sharpness_of(frames)
    for rows in members.values():
        # The canonical frame was chosen before, whatever its sharpness.
        rows.sort(key=lambda row: (frames[row].timestep != canonical, -sharp[row]))
    queues = list(members.values())
    directions = torch.stack([seen.directions[rows[0]] for rows in queues])
    first = next(index for index, rows in enumerate(queues) if frames[rows[0]].timestep == canonical)
    order = farthest_first(first, len(queues), lambda index: angles(directions, directions[index]))
    rounds = max(map(len, queues))
    by_turns = [queues[index][turn] for turn in range(rounds) for index in order if turn < len(queues[index])]
    return by_turns[:most]
