"""Motion from whatever a tracker left: one reader for folders and files of several programs.

Read are export folders of VHAP and LAM (single sequences and unions), folders of one npz per timestep, GaussianAvatars'
`flame_param.npz` and our own banks (one npz for many timesteps), VHAP's `tracked_flame_params_*.npz`, and
metrical-tracker's checkpoint folders. Who was tracked does not matter: only pose and expression are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from sage_ns.capture.frames import frame_entries, moment_of, read_json
from sage_ns.capture.layout import ALL_FRAMES, TEST, TRAIN, TRAIN_MULTIFRAME, VAL
from sage_ns.capture.tracker_checkpoints import SUFFIX, load_tracker_checkpoints
from sage_ns.errors import CaptureError, FlameParamsError
from sage_ns.rig import FlameParams, concatenate
from sage_ns.system.array_fields import ArrayFields, read_npz

if TYPE_CHECKING:
    from sage_ns.rig import HeadModel

MotionSplit = Literal["all", "train"]
_TRANSFORMS = (ALL_FRAMES, TRAIN_MULTIFRAME, TRAIN, VAL, TEST)
_TRACKED = "tracked_flame_params"
_EXPECTED = (
    "Give a VHAP or LAM export folder, a folder of npz files, one npz of a whole sequence, or metrical-tracker's "
    "<actor> folder."
)


@dataclass(frozen=True, eq=False)
class DrivingMotion:
    """Motion of one or more sequences, without anybody's head shape."""

    source: Path
    """Where it was read."""
    params: FlameParams
    """One row per timestep."""
    timesteps: Int[Tensor, "num_timesteps"]
    """Timestep ids as the source numbers them."""
    sequences: Int[Tensor, "num_timesteps"]
    """Which sequence every row belongs to; rows of one sequence follow each other in time."""
    notes: tuple[str, ...] = ()
    """What a user should know about the reading."""


def load_motion(path: Path | str, model: HeadModel | None = None, split: MotionSplit = "all") -> DrivingMotion:
    """Read driving motion, see the module for what from.

    Args:
        path: Folder or file.
        model: Head model that the motion has to fit: expressions are filled up with zeros to its number, and surplus
            ones may be cut if they are zeros. None takes the motion as it is.
        split: "train" leaves out what an export folder lists for testing alone. Other sources know no splits.

    Raises:
        CaptureError: There is no motion at `path`, or a file of it is broken or of another kind; names it.
        FlameParamsError: A field is missing, misshapen or not finite, lengths disagree, or more expression
            coefficients are in use than the head model has.
    """
    path = Path(path).expanduser()
    motion = _load_folder(path, split) if path.is_dir() else _load_file(path)
    params = replace(motion.params, shape=motion.params.shape[:0], static_offset=None)
    if model is not None:
        try:
            params = params.check_fits(model)
        except FlameParamsError as error:
            raise FlameParamsError(f"{path}: {error}") from error
    return replace(motion, params=params)


def _load_file(path: Path) -> DrivingMotion:
    if path.suffix == SUFFIX:
        return _tracker_motion(path, [path])
    if path.suffix != ".npz":
        found = "no such file or folder" if not path.exists() else f"a file of the unknown kind '{path.suffix}'"
        raise CaptureError(f"{path}: {found}. {_EXPECTED}")
    params = FlameParams.load(path)
    extra = read_npz(path, FlameParamsError, ("sequences", "timesteps", "n_processed_frames", "timestep_id"))
    notes: tuple[str, ...] = ()
    if path.name.startswith(_TRACKED) or "n_processed_frames" in extra or "timestep_id" in extra:
        params, notes = _recentred(params, path, extra)
    read = ArrayFields(str(path), {"expr": params.expr, **extra}, FlameParamsError, "Write the bank again.")
    read.floats("expr", "num_timesteps num_expression")
    rows = torch.arange(params.num_timesteps)
    timesteps = read.indices("timesteps", "num_timesteps") if "timesteps" in read else rows
    sequences = read.indices("sequences", "num_timesteps") if "sequences" in read else torch.zeros_like(rows)
    return DrivingMotion(path, params, timesteps, sequences, notes)


def _recentred(params: FlameParams, path: Path, extra: Mapping[str, object]) -> tuple[FlameParams, tuple[str, ...]]:
    """What VHAP's exporter makes of its tracker's parameters: the mean translation taken off; untracked rows cut."""
    notes = ()
    if "n_processed_frames" in extra:
        read = ArrayFields(str(path), {"n_processed_frames": [extra["n_processed_frames"]]}, FlameParamsError)
        done = int(read.indices("n_processed_frames", "1")[0])
        if not 0 < done <= params.num_timesteps:
            raise read.fail("n_processed_frames", str(done), f"1..{params.num_timesteps}, the number of timesteps")
        if done < params.num_timesteps:
            notes = (f"{params.num_timesteps - done} timesteps were never tracked and are left out",)
            params = params[:done]
    return replace(params, translation=params.translation - params.translation.mean(dim=0)), notes


def _load_folder(folder: Path, split: MotionSplit) -> DrivingMotion:
    # INSTA's folders have transforms too, without any parameters: checkpoints come first
    for inner in (folder / "checkpoint", folder):
        if frames := _in_time_order(inner.glob(f"*{SUFFIX}")):
            return _tracker_motion(folder, frames)
    if any((folder / name).is_file() for name in _TRANSFORMS):
        return _load_export(folder, split)
    if (folder / "flame_param.npz").is_file():
        return _load_file(folder / "flame_param.npz")
    if tracked := _in_time_order(folder.glob(f"{_TRACKED}*.npz")):
        return _load_file(tracked[-1])
    for inner in (folder / "flame_param", folder):
        if paths := [path for path in _in_time_order(inner.glob("*.npz")) if path.name != "canonical_flame_param.npz"]:
            return _from_files(folder, paths, [_timestep_of(path, row) for row, path in enumerate(paths)])
    names = sorted(path.name for path in folder.iterdir())
    listing = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "") if names else "nothing"
    raise CaptureError(f"{folder}: no motion in this folder (found {listing}). {_EXPECTED}")


def _load_export(folder: Path, split: MotionSplit) -> DrivingMotion:
    """The moments that a VHAP or LAM folder lists; a union's lie in sibling folders, one per sequence."""
    listed = _listed(folder, _TRANSFORMS)
    if split == "train":
        trained = _listed(folder, (TRAIN_MULTIFRAME, TRAIN, VAL))
        tested = _listed(folder, (TEST,))
        listed = {t: path for t, path in listed.items() if t in trained or t not in tested}
    if not listed:
        raise CaptureError(f"{folder}: its transforms list no timesteps for the split '{split}'. {_EXPECTED}")
    return _from_files(folder, list(listed.values()), list(listed))


def _listed(folder: Path, names: Sequence[str]) -> dict[int, Path]:
    moments: dict[int, Path] = {}
    for name in names:
        if (folder / name).is_file():
            for position, entry in enumerate(frame_entries(read_json(folder / name), folder / name)):
                timestep, path = moment_of(entry, f"{folder / name}, frame {position}", folder.resolve())
                moments.setdefault(timestep, path)
    return dict(sorted(moments.items()))


def _from_files(source: Path, paths: Sequence[Path], timesteps: Sequence[int]) -> DrivingMotion:
    """One file per timestep; files of one folder are one sequence."""
    rows: list[FlameParams] = []
    for path in paths:
        params = FlameParams.load(path)
        if params.num_timesteps != 1:
            raise CaptureError(
                f"{path}: holds {params.num_timesteps} timesteps, expected one per file of a folder. To take a whole "
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
    return DrivingMotion(source, concatenate(rows), torch.tensor(timesteps), sequences)


def _tracker_motion(source: Path, paths: Sequence[Path]) -> DrivingMotion:
    params, num_closed = load_tracker_checkpoints(paths)
    notes = ()
    if num_closed:
        notes = (
            f"eyelids at {num_closed} of {len(paths)} timesteps were moved by metrical-tracker's own blendshapes, "
            "which the head model does not have: blinks are lost",
        )
    timesteps = torch.tensor([_timestep_of(path, row) for row, path in enumerate(paths)])
    return DrivingMotion(source, params, timesteps, torch.zeros_like(timesteps), notes)


def _in_time_order(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: (len(path.stem), path.stem))


def _timestep_of(path: Path, row: int) -> int:
    return int(path.stem) if path.stem.isdecimal() else row
