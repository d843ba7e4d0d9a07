"""Which moments of an avatar to export: of its own capture, or of somebody's motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float
from rich.console import Console
from rich.markup import escape
from torch import Tensor

from sage_ns.errors import FlameParamsError, SageError

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar
    from sage_ns.plugin.model import SageModel
    from sage_ns.rig import FlameParams


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments that were asked for, checked as far as that is possible without the avatar."""

    chosen: tuple[int, ...]
    """Rows of the given motion, or else timesteps of the avatar's own capture; ascending."""
    given: tuple[tuple[str, FlameParams], ...]
    """Somebody's motion, with the name of the flag and the file it came from; empty: the avatar's own counts."""
    notes: tuple[str, ...] = ()
    """What a user should know about the reading."""

    def motion(self, avatar: Avatar | SageModel) -> Float[Tensor, "num_moments num_coefficients"]:
        """The motion vectors of the moments.

        Raises:
            FlameParamsError: The given motion is of another rig.
            SageError: The avatar's capture has no such timestep.
        """
        from sage_ns.rig import concatenate

        source = avatar.motion
        if not self.given:
            known = {timestep: row for row, timestep in enumerate(source.timesteps.tolist())}
            missing = [moment for moment in self.chosen if moment not in known]
            if missing:
                raise SageError(
                    f"--timesteps {missing[0]}: the avatar's capture has the timesteps {min(known)} to {max(known)}"
                )
            return source.motion[[known[moment] for moment in self.chosen]]
        fitting = []
        for name, params in self.given:
            try:
                # The avatar is one person: only the motion counts, not whom it was tracked on. A static offset stays,
                # unlike in `Avatar.fit`: one of another mesh says that the expressions are another rig's, too.
                fitting.append(replace(params, shape=params.shape[:0]).check_fits(avatar.rig.head_model))
            except FlameParamsError as error:
                raise FlameParamsError(f"{name}: {error}") from error
        return source.fit(concatenate(fitting).motion_vector().to(source.motion))[list(self.chosen)]

    def tell(self, console: Console) -> None:
        """Print the notes."""
        for note in self.notes:
            console.print(escape(note), soft_wrap=True)


def choose_moments(timesteps: Sequence[int], motion: Path | None, flame_params: Sequence[Path] = ()) -> Moments:
    """Read what was given, and check the moments that were asked for.

    Args:
        timesteps: rows of the given motion (none: all of them), or timesteps of the avatar's own capture.
        motion: of any kind that `sage_ns.motion.files.load_motion` reads.
        flame_params: npz files or folders of them, one after the other.

    Raises:
        SageError: Two kinds of motion are given, one cannot be read, or it has no such rows.
    """
    from sage_ns.motion.files import load_motion
    from sage_ns.rig import FlameParams

    chosen = tuple(sorted(set(timesteps)))
    notes: tuple[str, ...] = ()
    if motion is not None and flame_params:
        raise SageError("--motion and --flame-params exclude each other: give one of them")
    if motion is not None:
        driving = load_motion(motion)
        given = ((str(motion), driving.params),)
        notes = tuple(f"{motion}: {note}" for note in driving.notes)
    else:
        given = tuple((str(path), FlameParams.load(path)) for path in flame_params)
    if not given:
        return Moments(chosen, ())
    num_rows = sum(params.num_timesteps for _, params in given)
    if chosen and not 0 <= chosen[0] <= chosen[-1] < num_rows:
        flag = "--flame-params" if flame_params else f"--motion {motion}"
        raise SageError(f"--timesteps {chosen[0]} to {chosen[-1]}: {flag} has the rows 0 to {num_rows - 1}")
    return Moments(chosen or tuple(range(num_rows)), given, notes)


def refuse_existing(paths: Sequence[Path], overwrite: bool) -> None:
    """Whether all of these may be written.

    Raises:
        SageError: One is there already, and is not to be replaced.
    """
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise SageError(f"{existing[0]}{more} exists already. Give --overwrite, or another --output-dir.")
