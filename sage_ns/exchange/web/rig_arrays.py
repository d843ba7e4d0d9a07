"""A rig as arrays for the browser, without the expressions that neither the sliders nor the clip use."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from sage_ns.rig import HeadModel

_LEVELS = 32767
_NEGLIGIBLE = 1e-7
"""Metres per unit of coefficient: directions with smaller displacements are left out."""


def rig_arrays(model: HeadModel, used: Bool[np.ndarray, "num_expression"]) -> dict[str, np.ndarray]:
    """Return all arrays that posing needs, by the names of :class:`HeadModel`.

    Vertices in no triangle are left out. Joints are already regressed, at rest (`joints`) and as directions. A basis
    `b` of directions is three arrays: `b` (one direction per row, 16 bits), `b_scale` (metres per level) and `b_index`
    (the coefficient of each row).

    Args:
        model: head model of one person (the template includes the identity).
        used: whether each expression coefficient can differ from 0 on the page.
    """
    model = model.to("cpu")
    kept = kept_vertices(model)
    renumbered = np.full(model.num_vertices, -1, np.int64)
    renumbered[kept] = np.arange(len(kept))
    expression = model.expression_basis.double().numpy()
    regressor = model.joint_regressor.double().numpy()
    joint_moves = np.einsum("jv,vke->ejk", regressor, expression)
    correctives = model.pose_basis.double().numpy().reshape(36, -1, 3)[:, kept]
    return {
        "v_template": model.v_template.numpy()[kept].astype(np.float32),
        "triangles": renumbered[model.triangles.numpy()].astype(np.uint32),
        "skinning_weights": model.skinning_weights.numpy()[kept].astype(np.float32),
        "parents": model.parents.numpy().astype(np.int16),
        "joints": (regressor @ model.v_template.double().numpy()).astype(np.float32),
        **_directions("expression_basis", np.moveaxis(expression[kept], -1, 0), used),
        **_directions("joint_basis", joint_moves, used),
        **_directions("pose_basis", correctives, np.ones(36, bool)),
    }


def kept_vertices(model: HeadModel) -> Int[np.ndarray, "num_kept"]:
    """Return the vertices of all triangles, ascending: the browser's vertex i is the model's `kept_vertices[i]`."""
    return torch.unique(model.triangles).cpu().numpy()


def _directions(
    name: str, basis: Float[np.ndarray, "num_directions n 3"], used: Bool[np.ndarray, "num_directions"]
) -> dict[str, np.ndarray]:
    rows = basis.reshape(len(basis), -1)
    largest = np.abs(rows).max(axis=1, initial=0.0)
    index = np.flatnonzero(used & (largest > _NEGLIGIBLE))
    scale = largest[index] / _LEVELS
    levels = np.rint(rows[index] / scale[:, None])
    return {
        name: levels.astype(np.int16),
        f"{name}_scale": scale.astype(np.float32),
        f"{name}_index": index.astype(np.uint16),
    }
