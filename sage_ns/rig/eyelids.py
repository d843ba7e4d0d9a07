"""Eyelids as two more expression directions of a head model: metrical-tracker closes eyes with blendshapes of its own.

The tracker adds them after skinning (Zielonka et al. 2022), where the rotations of head and neck are zero and the jaw
does not move lids: there, an expression direction moves the lids alike. Its files `l_eyelid.npy` and `r_eyelid.npy`
[num_vertices, 3] hold the displacement of each vertex in metres at the coefficient 1 (closed).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.errors import FlameParamsError, HeadModelError
from sage_ns.rig.head_model import HeadModel
from sage_ns.system.array_fields import ArrayFields, read_npy

EYELID_FILES = ("l_eyelid.npy", "r_eyelid.npy")
"""Left and right, the order of their directions and coefficients."""
EYELID_NAMES = ("eyelid_left", "eyelid_right")
_MARK = " with eyelids"
"""End of the name of a head model whose last two directions are eyelids."""
_FARTHEST = 0.05
"""Metres; lids move by a centimetre. Larger displacements are in other units."""
_LEAST = 1e-4
"""Metres; files whose farthest vertex moves less hold no lid, or hold it in other units."""
_HINT = "Give the folder of metrical-tracker's l_eyelid.npy and r_eyelid.npy, with the FLAME that they were made for."


def load_eyelids(folder: Path | str, num_vertices: int) -> Float[Tensor, "num_vertices 3 2"]:
    """Load the displacements of both eyelids, metres.

    Args:
        folder: Folder with `EYELID_FILES`.
        num_vertices: Number of vertices of the head model.

    Raises:
        HeadModelError: A file is missing or broken, has another shape, is not finite, or moves nothing or too far.
    """
    return torch.stack([_load(Path(folder) / name, num_vertices) for name in EYELID_FILES], dim=-1)


def with_eyelids(model: HeadModel, eyelids: Float[Tensor, "num_vertices 3 2"]) -> HeadModel:
    """Return the head model with the left and the right eyelid as its last two expression directions.

    Raises:
        HeadModelError: The model has eyelids already.
    """
    if has_eyelids(model):
        raise HeadModelError(
            f"head model '{model.name}' has eyelids already. Name FLAME's own file (--head-model generic_model.pkl)."
        )
    return replace(
        model,
        name=model.name + _MARK,
        expression_basis=torch.cat([model.expression_basis, eyelids.to(model.expression_basis)], dim=-1),
        expression_names=(*model.expression_names, *EYELID_NAMES) if model.expression_names else (),
    )


def has_eyelids(model: HeadModel) -> bool:
    """Return whether the last two expression directions of a head model are eyelids (`with_eyelids`)."""
    return model.name.endswith(_MARK) and model.num_expression >= len(EYELID_FILES)


def with_eyelid_motion(
    expr: Float[Tensor, "num_timesteps num_tracked"],
    eyelids: Float[Tensor, "num_timesteps 2"],
    model: HeadModel,
) -> Float[Tensor, "num_timesteps num_expression"]:
    """Return expression coefficients for a head model with eyelids; coefficients that a tracker lacks are zero.

    Args:
        expr: Coefficients of the directions without eyelids.
        eyelids: Coefficients of the left and the right eyelid.
        model: A head model with eyelids.

    Raises:
        FlameParamsError: More coefficients are in use than the model has besides the eyelids.
    """
    size = model.num_expression - len(EYELID_FILES)
    if bool((expr[:, size:] != 0).any()):
        raise FlameParamsError(
            f"'expr': found {expr.shape[1]} coefficients in use, but head model '{model.name}' has {size} besides the "
            "eyelids. Use the head model that the sequence was tracked with."
        )
    missing = max(size - expr.shape[1], 0)
    return torch.cat([torch.nn.functional.pad(expr[:, :size], (0, missing)), eyelids.to(expr)], dim=-1)


def _load(path: Path, num_vertices: int) -> Float[Tensor, "num_vertices 3"]:
    array = read_npy(path, HeadModelError, _HINT)
    array = array[0] if array.ndim == 3 and len(array) == 1 else array  # other programs keep a batch dimension
    read = ArrayFields(str(path), {path.stem: array}, HeadModelError, _HINT)
    offsets = read.floats(path.stem, f"{num_vertices} 3")
    farthest = float(offsets.norm(dim=-1).max())
    if not _LEAST <= farthest <= _FARTHEST:
        found = f"a largest displacement of {1e3 * farthest:.3g} mm"
        raise read.fail(path.stem, found, f"{1e3 * _LEAST:g} to {1e3 * _FARTHEST:g} mm, in metres")
    return offsets
