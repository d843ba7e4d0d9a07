"""The head model of commands that work without a capture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sage_ns.rig import HeadModel


def head_model_or_builtin(path: Path | None) -> HeadModel:
    """Return the head model of a file, else the one that SAGE_HEAD_MODEL names, else the built-in head.

    Raises:
        HeadModelError: the file is missing or no head model.
    """
    from sage_ns.rig import find_head_model, load_head_model
    from sage_ns.rig.head_model import HEAD_MODEL_VARIABLE
    from sage_ns.synthetic.head import builtin_head

    if path is None and not os.environ.get(HEAD_MODEL_VARIABLE):
        return builtin_head()
    return load_head_model(find_head_model(path))
