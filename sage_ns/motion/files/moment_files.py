"""Motion in one npz file per moment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sage_ns.errors import CaptureError, FlameParamsError

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion


def read_moment_files(source: Path, paths: Sequence[Path], timesteps: Sequence[int]) -> Motion:
    """Read motion with one row per file; the files of one folder are one sequence.

    Args:
        source: Path that the user gave.
        paths: The files, in the order of time; at least one.
        timesteps: Timestep id of every file.

    Raises:
        CaptureError: A file holds more than one moment.
        FlameParamsError: A file cannot be read, or its number of expression coefficients differs from the first's.
    """
    import torch

    from sage_ns.motion.motion import Motion
    from sage_ns.rig import FlameParams, concatenate

    rows: list[FlameParams] = []
    for path in paths:
        params = FlameParams.load(path, identity=())
        if params.num_timesteps != 1:
            raise CaptureError(
                f"{path}: holds {params.num_timesteps} timesteps, expected one per file of a folder. To load a whole "
                "sequence from one file, give that file."
            )
        if rows and params.expr.shape != rows[0].expr.shape:
            raise FlameParamsError(
                f"{path}: 'expr' has {params.expr.shape[1]} coefficients, but the first file has "
                f"{rows[0].expr.shape[1]}. Export the sequence again with one head model."
            )
        rows.append(params)
    folders = [path.parent for path in paths]
    order = {folder: index for index, folder in enumerate(dict.fromkeys(folders))}
    sequences = torch.tensor([order[folder] for folder in folders])
    return Motion.of(concatenate(rows), source, torch.tensor(timesteps), sequences)
