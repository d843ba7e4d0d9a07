"""Choice of the moments to export: from the avatar's own capture, or from a driver's motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from sage_ns.errors import FlameParamsError, OptionError, SageError
from sage_ns.motion.files import load_driver, load_motion
from sage_ns.motion.limits import within_limits
from sage_ns.rig import FlameParams, HeadModel, check_plausible, concatenate

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar


@dataclass(frozen=True, eq=False)
class Moments:
    """Requested moments; all checks that need no avatar are done."""

    chosen: tuple[int, ...]
    """Rows of the given motion, or else timesteps of the avatar's own capture; ascending."""
    given: tuple[tuple[str, FlameParams], ...]
    """The driver's motion with its files; empty if the avatar's own motion is exported."""
    notes: tuple[str, ...] = ()
    """Notes of the reader for the user."""

    def motion(
        self, avatar: Avatar, on_note: Callable[[str], object] = lambda note: None
    ) -> Float[Tensor, "num_moments num_coefficients"]:
        """Return the motion vectors of the moments, for the avatar's rig and within its limits.

        Args:
            avatar: The avatar.
            on_note: Called with a note for the user on every part of the given motion that was clamped.

        Raises:
            FlameParamsError: The given motion is of another rig.
            OptionError: The avatar's capture has no such timestep.
        """
        own = avatar.motion
        if not self.given:
            known = {timestep: row for row, timestep in enumerate(own.timesteps.tolist())}
            for moment in self.chosen:
                if moment not in known:
                    there = f"the avatar's capture has the timesteps {min(known)} to {max(known)}"
                    raise OptionError(there, timesteps=moment)
            return own.motion[[known[moment] for moment in self.chosen]]
        fitting = []
        for name, params in self.given:
            try:
                # The driver's shape is dropped. Unlike in `Avatar.fit`, the static offset stays: an offset of another
                # mesh reveals that the expressions belong to another rig, too.
                fitted = replace(params, shape=params.shape[:0]).check_fits(avatar.rig.head_model)
            except FlameParamsError as error:
                raise FlameParamsError(f"{name}: {error}") from error
            clamped, notes = within_limits(fitted, avatar.rig.head_model)
            fitting.append(clamped)
            for note in notes:
                on_note(f"{name}: {note}")
        return own.fit(concatenate(fitting).motion_vector().to(own.motion))[list(self.chosen)]


def choose_moments(
    timesteps: Sequence[int],
    motion: Path | None,
    flame_params: Sequence[Path] = (),
    rig: Callable[[], HeadModel] | None = None,
) -> Moments:
    """Read the given motion and check the requested moments.

    Args:
        timesteps: rows of the given motion (empty: all of them), or timesteps of the avatar's own capture.
        motion: file or folder that `sage_ns.motion.files.load_motion` reads.
        flame_params: npz files or folders of them; their rows are concatenated.
        rig: returns the avatar's head model; called only for motion whose format depends on it.

    Raises:
        SageError: Both kinds of motion are given, a file cannot be read, no head can make the motion, or the motion
            does not have these rows.
    """
    chosen = tuple(sorted(set(timesteps)))
    notes: tuple[str, ...] = ()
    if motion is not None and flame_params:
        raise SageError("--motion and --flame-params exclude each other: give one of them")
    if motion is not None:
        driving = load_motion(motion) if rig is None else load_driver(motion, rig)
        given = ((str(motion), driving.params),)
        notes = tuple(f"{motion}: {note}" for note in driving.notes)
    else:
        given = tuple((str(path), FlameParams.load(path, identity=("static_offset",))) for path in flame_params)
        for path, params in given:
            check_plausible(params, lambda row, path=path: f"{path}: moment {row}")
    if not given:
        return Moments(chosen, ())
    num_rows = sum(params.num_timesteps for _, params in given)
    outside = [moment for moment in chosen if not 0 <= moment < num_rows]
    if outside:
        source = given[0][0] if len(given) == 1 else "the given motion"
        raise OptionError(f"{source} has the rows 0 to {num_rows - 1}", timesteps=outside[0])
    return Moments(chosen or tuple(range(num_rows)), given, notes)
