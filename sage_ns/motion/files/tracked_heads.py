"""Motion of heads that other trackers have found in pictures; `sage_ns.capture.tracker_files` has the formats.

The global rotation is the one before the tracker's camera. The translation is that of the head where the camera stands
still, around its mean; a crop that follows the head says nothing about it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sage_ns.motion.files.registry import MotionReader, MotionSplit, register_reader

if TYPE_CHECKING:
    from sage_ns.capture.tracker_files import TrackerFile
    from sage_ns.motion.motion import Motion
    from sage_ns.rig import HeadModel


class _HeadsReader(MotionReader):
    """Base class: reads what the tracker of the same name has found."""

    def recognises(self, path: Path) -> bool:
        """Return whether the tracker recognises the path."""
        return self._file().recognises(path)

    def read(self, path: Path, split: MotionSplit) -> Motion:
        """Read rotations and expression; where the head is belongs to a head model, and is left out."""
        return _motion(self._file(), path, None)

    def read_for(self, path: Path, split: MotionSplit, rig: Callable[[], HeadModel]) -> Motion:
        """Read the motion for an avatar, whose rig has to be the FLAME that the tracker has fitted.

        Raises:
            CaptureError, FlameParamsError: As for `read`.
            HeadModelError: It is another head model.
        """
        return _motion(self._file(), path, rig)

    def _file(self) -> TrackerFile:
        from sage_ns.capture.tracker_files.registry import trackers

        return trackers[self.name]


@register_reader
class SheapHeads(_HeadsReader):
    """What SHeaP has returned."""

    name = "SHeaP"
    reads = "what SHeaP returned (.pt or .npz)"
    keeps = (
        "rotations and expression, for avatars on FLAME 2020, and the eyelids for rigs that have them; no translation"
    )
    programs = ("a line of Python around SHeaP: `torch.save(results, ...)`",)
    specificity = 5
    """Also an npz, with some of the names of an npz of FLAME parameters."""


@register_reader
class SmirkHeads(_HeadsReader):
    """What SMIRK's encoder has returned."""

    name = "SMIRK"
    reads = "what SMIRK's encoder returned (.pt or .npz)"
    keeps = (
        "rotation of the head, jaw and expression, for avatars on FLAME 2020, and the eyelids for rigs that have them; "
        "it has no eyes, no neck and no translation"
    )
    programs = ("a line of Python around SMIRK: `torch.save(outputs, ...)`",)
    specificity = 6
    """A folder of files of both is read as the files of its first one."""


@register_reader
class Pixel3dmmHeads(_HeadsReader):
    """Pixel3DMM's checkpoints."""

    name = "Pixel3DMM"
    reads = "a folder of Pixel3DMM's checkpoints"
    keeps = (
        "rotations, translation around its mean, and expression, for avatars on the FLAME that it fitted, and the "
        "eyelids for rigs that have them"
    )
    programs = ("Pixel3DMM (`checkpoint/*.frame`)",)
    specificity = 7
    """Also `.frame` files, with another camera than metrical-tracker's."""


def _motion(file: TrackerFile, path: Path, rig: Callable[[], HeadModel] | None) -> Motion:
    from dataclasses import replace

    import torch

    from sage_ns.motion.files.lids import with_lids
    from sage_ns.motion.motion import Motion

    heads = file.read(path)
    params = heads.params
    if rig is not None:
        params = heads.on(rig())
    if rig is not None and heads.place == "room":
        params = replace(params, translation=params.translation - params.translation.mean(dim=0))
    else:
        params = replace(params, translation=torch.zeros_like(params.translation))
    num_expression = heads.params.expr.shape[1]  # a rig's own eyelids are not among them
    params = replace(params, expr=params.expr[:, :num_expression])
    params, notes = with_lids(params, heads.eyelids, rig, heads.program)
    return Motion.of(params, path, heads.frames, notes=notes)
