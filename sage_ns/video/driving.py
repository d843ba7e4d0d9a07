"""Motion of a video: loading, choice of rows, and transfer to the avatar."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sage_ns.errors import FlameParamsError, OptionError
from sage_ns.motion.files import load_driver, load_motion
from sage_ns.motion.limits import check_motion, within_limits
from sage_ns.motion.motion import USUAL_FPS, Motion
from sage_ns.motion.source import RECORDED
from sage_ns.motion.transfer import absolute_transfer, most_neutral_row, relative_transfer
from sage_ns.rig import FlameParams
from sage_ns.video.footage import find_frame_rate

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar
    from sage_ns.rig import HeadModel

AnyMotion: TypeAlias = "Motion | FlameParams | Path | str"


def as_motion(motion: AnyMotion, rig: Callable[[], HeadModel] | None = None) -> Motion:
    """Return motion: the given one, or made from parameters, or loaded from a file or folder by `load_motion`.

    Args:
        motion: the motion, parameters or a path.
        rig: returns the avatar's head model; called only for files whose format depends on it.

    Raises:
        CaptureError: there is no motion at the given path, or its format needs ``rig``.
        FlameParamsError: a file of the motion is broken, or no head can make the motion (`check_motion`).
    """
    if isinstance(motion, (str, Path)):
        return load_motion(motion) if rig is None else load_driver(motion, rig)
    if isinstance(motion, FlameParams):
        motion = Motion.of(motion, "the given parameters")
    check_motion(motion)
    return motion


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

    The result is within the limits of the avatar's rig. The motion that the avatar was captured with is shown as it is.

    Args:
        avatar: the avatar; its identity does not change.
        motion: motion of the driver.
        shown: rows of the motion.
        follow_head: also transfer the driver's head rotation, and its movement since the first moment shown.
        relative: transfer the difference to a neutral moment of the driver.
        neutral_frame: row of the neutral moment; None: the row with the least expression.

    Raises:
        FlameParamsError: the motion uses more expression coefficients than the avatar's rig has.
    """
    try:
        params = FlameParams.from_motion_vector(avatar.fit(motion.params).cpu())
    except FlameParamsError as error:
        raise FlameParamsError(f"{motion.source}: {error}") from error
    model = avatar.rig.head_model.to("cpu")
    if not relative:
        canonical = FlameParams.from_motion_vector(avatar.motion.canonical()[None].cpu())
        moved = absolute_transfer(params[shown], canonical, follow_head)
        return (moved, []) if motion.source == RECORDED else within_limits(moved, model)
    row = most_neutral_row(params, model) if neutral_frame is None else neutral_frame
    moved = relative_transfer(params[shown], params[row], avatar.neutral().to("cpu"), follow_head)
    moved, clamped = within_limits(moved, model)
    notes = [f"Neutral moment of the driver: {row}"] if neutral_frame is None else []
    return moved, notes + clamped


def _rows_of(motion: Motion) -> str:
    return f"{motion.source} has the moments 0 to {motion.params.num_timesteps - 1}"
