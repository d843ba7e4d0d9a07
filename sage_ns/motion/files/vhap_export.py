"""Motion of a capture: the moments listed in the transforms files of an export of VHAP or LAM."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sage_ns.errors import CaptureError
from sage_ns.motion.files.moment_files import read_moment_files
from sage_ns.motion.files.registry import MotionReader, MotionSplit, register_reader

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion


@register_reader
class VhapExport(MotionReader):
    """A folder with `transforms*.json`; the files of a union refer to sibling folders, one per sequence."""

    name = "VHAP export"
    reads = "an export folder of VHAP or LAM"
    keeps = "the moments that the transforms files list; every folder of a union is one sequence"
    programs = ("VHAP", "LAM", "`sage-capture`")
    specificity = 3
    """An export's parameter files lie beside its transforms, and other readers recognise these files."""

    def recognises(self, path: Path) -> bool:
        """Return whether the folder contains transforms files."""
        from sage_ns.capture.layout import TRANSFORMS

        return any(os.path.lexists(path / name) for name in TRANSFORMS)

    def read(self, path: Path, split: MotionSplit) -> Motion:
        """Read the parameter file of every moment; for "train", leave out moments that only the test split lists."""
        from sage_ns.capture.layout import TEST, TRAIN, TRAIN_MULTIFRAME, TRANSFORMS, VAL

        moments = _listed(path, TRANSFORMS)
        if split == "train":
            trained, tested = _listed(path, (TRAIN_MULTIFRAME, TRAIN, VAL)), _listed(path, (TEST,))
            moments = {t: file for t, file in moments.items() if t in trained or t not in tested}
        if not moments:
            raise CaptureError(f"{path}: its transforms list no timesteps for the split '{split}'. Export again.")
        return read_moment_files(path, list(moments.values()), list(moments))


def _listed(folder: Path, names: Sequence[str]) -> dict[int, Path]:
    """Return the parameter file of every timestep that the named transforms files list, in ascending order."""
    from sage_ns.capture.frames import frame_entries, moment_of, read_json

    moments: dict[int, Path] = {}
    for name in names:
        if os.path.lexists(folder / name):
            for position, entry in enumerate(frame_entries(read_json(folder / name), folder / name)):
                timestep, path = moment_of(entry, f"{folder / name}, frame {position}", folder.resolve())
                moments.setdefault(timestep, path)
    return dict(sorted(moments.items()))
