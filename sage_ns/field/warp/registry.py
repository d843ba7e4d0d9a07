"""Backward warps by name: ``rigid``, ``rig`` and ``mononphm``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from sage_ns.errors import FieldError, OptionError
from sage_ns.field.warp.backward import BackwardWarp
from sage_ns.field.warp.mononphm import MonoNphmWarp
from sage_ns.field.warp.mononphm_files import read_network, read_tracking
from sage_ns.field.warp.rig import RigWarp
from sage_ns.field.warp.rigid import RigidWarp
from sage_ns.geometry.triangles import TriangleFrames


@dataclass(frozen=True, eq=False)
class PosedMoment:
    """What warps need to know of a moment. ``rigid`` uses the skull alone, ``rig`` also the frames."""

    posed: TriangleFrames
    """Of the rig at this moment."""
    canonical: TriangleFrames
    """Of the rig at the canonical moment."""
    skull: Float[Tensor, "4 4"]
    """Rigid motion of the skull since the canonical moment: canonical point -> posed point, metres."""
    timestep: int | None = None
    """The capture's number of this moment; for ``mononphm``."""
    canonical_timestep: int | None = None
    """The capture's number of the canonical moment; for ``mononphm``."""
    head_space: Float[Tensor, "4 4"] | None = None
    """Rigid motion from the unposed head to the canonical world; for ``mononphm``. None = they are the same."""


@dataclass(frozen=True)
class WarpFiles:
    """Files that the user gives for ``mononphm``."""

    checkpoint: Path | None = None
    tracking: Path | None = None


WarpMaker = Callable[[PosedMoment], BackwardWarp]
"""Makes the warp of a moment."""


def warp_maker(name: str, files: WarpFiles | None = None) -> WarpMaker:
    """Return what makes the warps of a kind; files are read now.

    Raises:
        OptionError: there is no such kind, or a file that it needs is not given.
        FieldError: a file cannot be used.
    """
    if name not in KINDS:
        raise OptionError(f"choose one of {', '.join(KINDS)}", field_warp=name)
    return KINDS[name](files or WarpFiles())


def _rigid(files: WarpFiles) -> WarpMaker:
    return lambda moment: RigidWarp(moment.skull)


def _rig(files: WarpFiles) -> WarpMaker:
    return lambda moment: RigWarp(moment.posed, moment.canonical, moment.skull)


def _mononphm(files: WarpFiles) -> WarpMaker:
    if files.checkpoint is None or files.tracking is None:
        raise OptionError(
            "field-warp mononphm needs both: the checkpoint of MonoNPHM's global model, and its tracker's folder",
            mononphm_checkpoint=files.checkpoint,
            mononphm_tracking=files.tracking,
        )
    network = read_network(files.checkpoint)
    tracking = read_tracking(files.tracking, network)

    def make(moment: PosedMoment) -> BackwardWarp:
        if moment.timestep is None or moment.canonical_timestep is None:
            raise FieldError(f"{tracking.source}: a picture without a timestep has no frame here. Use field-warp rig.")
        frame, canonical = tracking[moment.timestep], tracking[moment.canonical_timestep]
        skull = moment.skull
        return MonoNphmWarp(network.to(skull), frame.to(skull), canonical.to(skull), skull, moment.head_space)

    return make


KINDS: Mapping[str, Callable[[WarpFiles], WarpMaker]] = {"rigid": _rigid, "rig": _rig, "mononphm": _mononphm}
"""How to prepare the warps of a kind, by name."""
