"""Read the content of a checkpoint without running code from it, and check every array in it.

torch's loader trusts what a file claims about its arrays: optimisers and kernels would read past the end of short ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sage_ns.avatar.growth.densification import ScreenGradients
from sage_ns.avatar.prediction import SurfelNetworks
from sage_ns.avatar.state_checks import check_avatar
from sage_ns.errors import SageError
from sage_ns.system.torch_files import leaves, load_torch_file
from sage_ns.training.motion_tuning import TUNED_PARTS

LEARNER = "_model.learner."
"""Start of the names of the learner's arrays in a pipeline's state dict."""
_AGAIN = "Give a file step-*.ckpt that a training of this program wrote."


def read_content(path: Path, error: type[SageError]) -> dict[str, Any]:
    """Return the content of a checkpoint on the CPU; arrays stay in the file until they are used.

    Raises:
        SageError: of the given class; the file is missing, truncated or damaged, or holds more than tensors.
    """
    content = load_torch_file(path, error, "a checkpoint of a training", _AGAIN)
    if not isinstance(content, dict) or not isinstance(content.get("pipeline"), dict):
        raise error(f"{path} is not a checkpoint of a training: it has no state dict 'pipeline'. {_AGAIN}")
    return content


def check_content(content: Mapping[str, Any], source: str, error: type[SageError]) -> None:
    """Check every array and number of a checkpoint: finite, and those of the avatar as `check_avatar` does.

    Arrays of networks and field are loaded into arrays that exist, and torch compares their shapes.

    Raises:
        SageError: of the given class; names the file, the array, what was found and what was expected.
    """
    for name, value in leaves(content):
        finite = bool(value.isfinite().all()) if isinstance(value, Tensor) else isfinite(value)
        if not finite:
            raise error(f"{source}: '{name}': found non-finite numbers, expected finite ones.")
    check_pipeline(content["pipeline"], source, error)


def check_pipeline(state: Mapping[str, Any], source: str, error: type[SageError]) -> None:
    """Check the arrays of a pipeline's state dict whose sizes the checkpoint determines.

    Raises:
        SageError: of the given class; names the file, the array, what was found and what was expected.
    """
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise error(f"{source}: 'pipeline': found {name!r} of type {type(value).__name__}, expected tensors.")
    prefix = f"{LEARNER}avatar."
    avatar = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    check_avatar(avatar, source, error, "The checkpoint is from another method or version, or damaged.")
    for name, shape in _expected_shapes(avatar).items():
        value = state.get(LEARNER + name)
        if value is not None and list(value.shape) != shape:
            raise error(f"{source}: '{name}': found shape {list(value.shape)}, expected {shape}.")
    half_size = state.get(f"{LEARNER}canonical.field.half_size")
    if half_size is not None and (half_size.numel() != 1 or not 0 < float(half_size) < 1e3):
        raise error(f"{source}: 'canonical.field.half_size': found {half_size.tolist()}, expected metres above 0.")


def _expected_shapes(avatar: Mapping[str, Tensor]) -> dict[str, list[int]]:
    """Return the shapes of the learner's other arrays that follow from those of its avatar, by name."""
    num_surfels, num_rest = avatar["surfels.sh_rest"].shape[:2]
    num_timesteps, num_coefficients = avatar["motion.motion"].shape
    details = ([num_surfels, 1, 3], [num_surfels, num_rest, 3], [num_surfels], [num_surfels, 7])
    tuned = {name: len(range(num_coefficients)[part]) for name, part in TUNED_PARTS.items()}
    return {
        **{f"networks.{name}": shape for name, shape in zip(SurfelNetworks.DETAILS, details, strict=True)},
        **{f"screen_gradients.{name}": [num_surfels] for name in ScreenGradients.NAMES},
        **{f"tuning.{name}": [num_timesteps, width] for name, width in tuned.items()},
    }


def check_optimizer(state: Any, optimizer: torch.optim.Optimizer, source: str, error: type[SageError]) -> None:
    """Check that a stored state fits an optimiser; torch does not compare shapes, and its kernels rely on them.

    Raises:
        SageError: of the given class; names the file, the entry, what was found and what was expected.
    """
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    groups: Any = state.get("param_groups") if isinstance(state, dict) else None
    per_parameter: Any = state.get("state") if isinstance(state, dict) else None
    if not _are_dicts(groups) or not isinstance(per_parameter, dict) or not _are_dicts(list(per_parameter.values())):
        raise error(f"{source}: found no 'state' and 'param_groups', expected the state of an optimiser.")
    listed = [group.get("params") for group in groups]
    indices = [index for each in listed if isinstance(each, list) for index in each]
    if indices != list(range(len(parameters))) or not set(per_parameter) <= set(indices):
        raise error(f"{source}: found parameters {str(indices)[:200]}, expected 0 to {len(parameters) - 1}.")
    for stored, ours in zip(groups, optimizer.param_groups, strict=False):
        for name, value in ours.items():
            if isinstance(value, (bool, int, float)) and not isinstance(stored.get(name), (bool, int, float)):
                raise error(f"{source}: '{name}': found {str(stored.get(name))[:80]}, expected a number.")
    for index, values in per_parameter.items():
        for name, value in values.items():
            wanted = torch.Size([]) if name == "step" else parameters[index].shape
            if isinstance(value, Tensor) and value.shape != wanted:
                raise error(f"{source}: '{name}': found shape {list(value.shape)}, expected {list(wanted)}.")


def _are_dicts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(each, dict) for each in values)
