"""Motion of a video: loading, choice of rows, and transfer to the avatar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sage_ns.errors import FlameParamsError, OptionError
from sage_ns.motion.files import load_motion
from sage_ns.motion.motion import USUAL_FPS, Motion
from sage_ns.motion.transfer import absolute_transfer, most_neutral_row, relative_transfer, within_limits
from sage_ns.rig import FlameParams
from sage_ns.video.footage import find_frame_rate

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar

AnyMotion: TypeAlias = "Motion | FlameParams | Path | str"


def as_motion(motion: AnyMotion) -> Motion:
    """Return motion: the given one, or made from parameters, or loaded from a file or folder by `load_motion`.

    Raises:
        CaptureError: there is no motion at the given path.
        FlameParamsError: a file of the motion is broken.
    """
    if isinstance(motion, Motion):
        return motion
    if isinstance(motion, FlameParams):
        return Motion.of(motion, "the given parameters")
    return load_motion(motion)


def frame_rate(motion: AnyMotion | None) -> float:
    """Return moments per second: the motion's own, or else those of a video beside its file, or else `USUAL_FPS`."""
    if isinstance(motion, Motion) and motion.fps is not None:
        return motion.fps
    source = motion.source if isinstance(motion, Motion) else Path(motion) if isinstance(motion, str) else motion
    beside = find_frame_rate(source) if isinstance(source, Path) else None
    return beside or USUAL_FPS


def shown_rows(motion: Motion, start: int, end: int | None) -> slice:
    """Return the rows of a motion from ``start`` to before ``end``; None: to the last row.

    Raises:
        OptionError: the motion does not have these rows.
    """
    num_rows = motion.params.num_timesteps
    last = num_rows if end is None else end
    if not 0 <= start < last <= num_rows:
        raise OptionError(_rows_of(motion), start=start, end=last)
    return slice(start, last)


def check_neutral_frame(motion: Motion, neutral_frame: int | None, relative: bool) -> None:
    """Check that the motion has the neutral moment, and that the transfer is relative.

    Raises:
        OptionError: the motion does not have the moment, or the transfer is absolute.
    """
    if neutral_frame is None:
        return
    if not relative:
        raise OptionError("means nothing without relative", neutral_frame=neutral_frame)
    if not 0 <= neutral_frame < motion.params.num_timesteps:
        raise OptionError(_rows_of(motion), neutral_frame=neutral_frame)


def transferred(
    avatar: Avatar,
    motion: Motion,
    shown: slice,
    follow_head: bool = False,
    relative: bool = False,
    neutral_frame: int | None = None,
) -> tuple[FlameParams, list[str]]:
    """Transfer the shown moments of a motion to the avatar; return its parameters, and notes for the user.

    Args:
        avatar: the avatar; its identity does not change.
        motion: motion of the driver.
        shown: rows of the motion.
        follow_head: also transfer the driver's head rotation, and its movement since the first moment shown.
        relative: transfer the difference to a neutral moment of the driver, within the limits of the avatar's rig.
        neutral_frame: row of the neutral moment; None: the row with the least expression.

    Raises:
        FlameParamsError: the motion uses more expression coefficients than the avatar's rig has.
    """
    try:
        params = FlameParams.from_motion_vector(avatar.fit(motion.params).cpu())
    except FlameParamsError as error:
        raise FlameParamsError(f"{motion.source}: {error}") from error
    if not relative:
        canonical = FlameParams.from_motion_vector(avatar.motion.canonical()[None].cpu())
        return absolute_transfer(params[shown], canonical, follow_head), []
    model = avatar.rig.head_model.to("cpu")
    row = most_neutral_row(params, model) if neutral_frame is None else neutral_frame
    moved = relative_transfer(params[shown], params[row], avatar.neutral().to("cpu"), follow_head)
    moved, cut = within_limits(moved, model)
    notes = [f"Neutral moment of the driver: {row}"] if neutral_frame is None else []
    return moved, notes + [f"Clamped {each}" for each in cut]


def _rows_of(motion: Motion) -> str:
    return f"{motion.source} has the moments 0 to {motion.params.num_timesteps - 1}"
