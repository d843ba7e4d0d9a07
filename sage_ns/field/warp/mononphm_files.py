"""Read a user's MonoNPHM checkpoint and the output of its tracker; no code runs from the files.

Checkpoint: ``checkpoints/checkpoint_epoch_N.tar``, a dict of `torch.save` whose ``ex_decoder`` is the state dict of the
deformation network, ``defDeepSDF.lin0..lin6``. Tracking: ``stage1/SEQUENCE`` or ``stage2/SEQUENCE`` with one folder for
each frame, named by its number. (Names and shapes are those of the program at github.com/SimonGiebenhain/MonoNPHM.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.errors import FieldError
from sage_ns.field.warp.mononphm import TrackedFrame
from sage_ns.field.warp.mononphm_network import NUM_LAYERS, DeformationNetwork
from sage_ns.system.array_fields import ArrayFields, read_npy
from sage_ns.system.torch_files import load_torch_file

_KIND = "a checkpoint of MonoNPHM"
_CHECKPOINT = "Give checkpoint_epoch_N.tar of MonoNPHM's global model (mode glob_only)."
_TRACKING = "Give the folder stage1/SEQUENCE or stage2/SEQUENCE that MonoNPHM's tracker wrote."
_LARGEST = 1e6
"""Of any number in these files."""


@dataclass(frozen=True)
class Tracking:
    """Frames of a sequence, by their numbers."""

    source: Path
    frames: Mapping[int, TrackedFrame]

    def __getitem__(self, timestep: int) -> TrackedFrame:
        """Return the frame with the number of a timestep.

        Raises:
            FieldError: there is none.
        """
        if timestep not in self.frames:
            numbers = sorted(self.frames)
            found = f"{len(numbers)} frames, {numbers[0]:05d} to {numbers[-1]:05d}"
            raise FieldError(
                f"{self.source}: timestep {timestep} of the capture: found {found}, expected a folder {timestep:05d}. "
                "Track the sequence of this capture, and number its frames as the capture does."
            )
        return self.frames[timestep]


def read_network(path: Path | str) -> DeformationNetwork:
    """Read the deformation network of a checkpoint.

    Raises:
        FieldError: the file is missing, damaged, no such checkpoint, holds more than tensors and plain values, or its
            network is not that of the global model. Names the file and the entry.
    """
    path = Path(path)
    content = load_torch_file(path, FieldError, _KIND, _CHECKPOINT)
    decoder = content.get("ex_decoder") if isinstance(content, dict) else None
    if not isinstance(decoder, Mapping):
        raise FieldError(f"{path}: 'ex_decoder': found no state dict, expected the deformation network. {_CHECKPOINT}")
    read = ArrayFields(str(path), decoder, FieldError, _CHECKPOINT)
    names = [f"defDeepSDF.lin{index}" for index in range(NUM_LAYERS)]
    weights = [read.floats(f"{name}.weight", f"outputs_{name} inputs_{name}") for name in names]
    biases = [read.floats(f"{name}.bias", f"outputs_{name}") for name in names]
    for name, weight, bias in zip(names, weights, biases, strict=True):
        read.check_magnitude(f"{name}.weight", weight, _LARGEST)
        read.check_magnitude(f"{name}.bias", bias, _LARGEST)
    try:
        return DeformationNetwork(weights, biases)
    except ValueError as fault:
        raise FieldError(f"{path}: 'ex_decoder': {fault}. {_CHECKPOINT}") from fault


def read_tracking(folder: Path | str, network: DeformationNetwork) -> Tracking:
    """Read all frames of a tracked sequence.

    In stage 2 the identity is shared, and the ``z_exp.npy`` of every frame holds the expressions of all frames: the row
    of a frame is its place in the order of numbers.

    Args:
        folder: the sequence's folder of stage 1 or 2.
        network: whose number of codes those of a frame must have.

    Raises:
        FieldError: the folder has no frames, or a file is missing, damaged, or of another shape. Names the file.
    """
    folder = Path(folder)
    try:
        frames = {int(each.name): each for each in folder.iterdir() if each.name.isdecimal() and each.is_dir()}
    except OSError as cause:
        raise FieldError(f"{folder}: cannot be read ({cause.strerror}). {_TRACKING}") from cause
    if not frames:
        raise FieldError(f"{folder}: found no folders of frames, expected 00000, 00001, ... {_TRACKING}")
    shared = folder / "z_geo.npy"
    is_stage_2 = shared.exists()
    found = {}
    for row, number in enumerate(sorted(frames)):
        frame = frames[number]
        identity = _numbers(shared if is_stage_2 else frame / "z_geo.npy")
        expressions = _rows(frame / "z_exp.npy")
        if len(expressions) not in (1, len(frames)):
            raise FieldError(
                f"{frame / 'z_exp.npy'}: found {len(expressions)} expressions, expected 1, or one for each of the "
                f"{len(frames)} frames. {_TRACKING}"
            )
        code = torch.cat([identity, expressions[row if len(expressions) > 1 else 0]])
        if len(code) + 3 != network.num_inputs:
            raise FieldError(
                f"{frame}: found {len(identity)} identity codes and {expressions.shape[1]} expression codes, expected "
                f"{network.num_inputs - 3} together, as the checkpoint's network has. Give tracking and checkpoint of "
                "the same model."
            )
        found[number] = TrackedFrame(code, *_similarity(frame))
    return Tracking(folder, found)


def _similarity(frame: Path) -> tuple[Tensor, Tensor, Tensor]:
    rotation = _numbers(frame / "rot.npy", 9).reshape(3, 3)
    if not bool(((rotation @ rotation.mT - torch.eye(3)).abs() < 1e-2).all() & (torch.linalg.det(rotation) > 0)):
        raise FieldError(f"{frame / 'rot.npy'}: found {rotation.tolist()}, expected a rotation. {_TRACKING}")
    scale = _numbers(frame / "scale.npy", 1)[0]
    if not 1e-3 < float(scale) < 1e3:
        raise FieldError(f"{frame / 'scale.npy'}: found {float(scale):g}, expected a scale about 1. {_TRACKING}")
    return rotation, _numbers(frame / "trans.npy", 3), scale


def _rows(path: Path) -> Float[Tensor, "rows columns"]:
    array = read_npy(path, FieldError, _TRACKING)
    if array.ndim < 1 or array.size == 0:
        raise FieldError(f"{path}: found shape {list(array.shape)}, expected codes. {_TRACKING}")
    flat = array.reshape(-1, array.shape[-1])
    read = ArrayFields(str(path), {"array": flat}, FieldError, _TRACKING)
    values = read.floats("array", "rows columns")
    read.check_magnitude("array", values, _LARGEST)
    return values


def _numbers(path: Path, count: int | None = None) -> Float[Tensor, "count"]:
    values = _rows(path).flatten()
    if count is not None and len(values) != count:
        raise FieldError(f"{path}: found {len(values)} numbers, expected {count}. {_TRACKING}")
    return values
