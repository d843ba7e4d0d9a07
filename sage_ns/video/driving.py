"""What drives a video: motion of any kind, as the avatar's own."""

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
    """Motion as `load_motion` gives it, from parameters or from a file or folder that it reads.

    Raises:
        CaptureError: there is no motion at that path.
        FlameParamsError: a file of it is broken.
    """
    if isinstance(motion, Motion):
        return motion
    if isinstance(motion, FlameParams):
        return Motion.of(motion, "the given parameters")
    return load_motion(motion)


def frame_rate(motion: AnyMotion | None) -> float:
    """Moments per second: the motion's own; else that of a video that lies beside its file; else `USUAL_FPS`."""
    if isinstance(motion, Motion) and motion.fps is not None:
        return motion.fps
    source = motion.source if isinstance(motion, Motion) else Path(motion) if isinstance(motion, str) else motion
    beside = find_frame_rate(source) if isinstance(source, Path) else None
    return beside or USUAL_FPS


def shown_rows(motion: Motion, start: int, end: int | None) -> slice:
    """The rows of a motion from ``start`` to before ``end``; None: to the last.

    Raises:
        OptionError: the motion has no such rows.
    """
    num_rows = motion.params.num_timesteps
    last = num_rows if end is None else end
    if not 0 <= start < last <= num_rows:
        raise OptionError(_rows_of(motion), start=start, end=last)
    return slice(start, last)


def check_neutral_frame(motion: Motion, neutral_frame: int | None, relative: bool) -> None:
    """Refuse a neutral moment that the motion does not have, or that nothing is relative to.

    Raises:
        OptionError: names it.
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
    """The shown moments of a motion as the avatar's own, and what a user should know.

    Args:
        avatar: who moves; its identity stays.
        motion: who drives.
        shown: rows of the motion.
        follow_head: also take the driver's head rotation, and its movement since the first moment shown.
        relative: transfer the difference to a neutral moment of the driver, within the limits of the avatar's rig.
        neutral_frame: that moment; None: the one with the least expression.

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
