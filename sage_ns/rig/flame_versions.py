"""Which FLAME a head model is: coefficients that a tracker found mean something on the model that it fitted, alone.

FLAME 2020 and 2023 have the same numbers of vertices and coefficients, but other directions. Their files do not say
which of them they are; the name of the file is all that tells them apart. FLAME 2023 comes with jaw rotation
(`flame2023.pkl`) and without (`flame2023_no_jaw.pkl`: the jaw is moved by expression directions).
"""

from __future__ import annotations

import re
from typing import Literal

from sage_ns.errors import HeadModelError
from sage_ns.rig.flame_params import FLAME_NUM_VERTICES, FLAME_TEETH_NUM_VERTICES
from sage_ns.rig.head_model import HeadModel

FlameVersion = Literal["2020", "2023_no_jaw"]

_FILES = {"2020": "generic_model.pkl of FLAME 2020", "2023_no_jaw": "flame2023_no_jaw.pkl of FLAME 2023"}


def check_flame(model: HeadModel, version: FlameVersion, source: str, program: str) -> None:
    """Refuse a head model on which the coefficients of a tracker mean something else, as far as that can be told.

    A FLAME of another version under a name without a year cannot be told from the right one.

    Args:
        model: Head model that the coefficients are for.
        version: FLAME that the tracker fitted.
        source: File of the tracker, the beginning of the message.
        program: Name of the tracker.

    Raises:
        HeadModelError: The model has other vertices than FLAME or expressions by name, or its name has another version.
    """
    name, needed = model.name, f"Use {_FILES[version]} (--head-model), or an avatar that was trained on it."
    start = f"{source}: {program} found coefficients of FLAME {version.replace('_', ' ')}, which mean nothing on"
    if model.num_vertices not in (FLAME_NUM_VERTICES, FLAME_TEETH_NUM_VERTICES):
        raise HeadModelError(
            f"{start} head model '{name}': found {model.num_vertices} vertices, expected {FLAME_NUM_VERTICES}. {needed}"
        )
    if model.expression_names:
        raise HeadModelError(
            f"{start} head model '{name}': its expressions have names of their own ({model.expression_names[0]} and "
            f"others), so it is not FLAME. {needed}"
        )
    without_jaw = re.search(r"no_?jaw", name, re.IGNORECASE) is not None
    fits = not (without_jaw or re.search(r"2023", name)) if version == "2020" else without_jaw
    if not fits:
        raise HeadModelError(f"{start} head model '{name}', which is another FLAME by its name. {needed}")
