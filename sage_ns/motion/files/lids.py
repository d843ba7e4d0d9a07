"""Eyelids that trackers move by blendshapes of their own, in the expression of rigs that have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from sage_ns.rig import FlameParams, HeadModel


def with_lids(
    params: FlameParams,
    eyelids: Float[Tensor, "num_timesteps 2"],
    rig: Callable[[], HeadModel] | None,
    program: str,
) -> tuple[FlameParams, tuple[str, ...]]:
    """Return parameters with the coefficients of the eyelids if the rig has eyelids (`sage_ns.rig.eyelids`), and notes.

    Args:
        params: Parameters of a tracker.
        eyelids: Its coefficients of the left and the right eyelid (0 open, 1 closed).
        rig: Returns the head model of the avatar; None = unknown.
        program: Name of the tracker, for the note that blinks are lost.

    Raises:
        FlameParamsError: More coefficients are in use than the model has besides the eyelids.
    """
    from dataclasses import replace

    from sage_ns.capture.tracker_checkpoints import num_moved_eyelids
    from sage_ns.rig.eyelids import has_eyelids, with_eyelid_motion

    num_moved = num_moved_eyelids(eyelids)
    # Only where eyelids move does it matter what the rig has, and the avatar must be loaded.
    model = rig() if num_moved and rig is not None else None
    if model is not None and has_eyelids(model):
        return replace(params, expr=with_eyelid_motion(params.expr, eyelids, model)), ()
    if not num_moved:
        return params, ()
    return params, (
        f"{program} moved the eyelids at {num_moved} of {len(eyelids)} timesteps by blendshapes of its "
        "own, which the head model does not have: these blinks are lost",
    )
