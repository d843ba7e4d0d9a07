"""Parts of the head that a prior describes apart from each other: hair says nothing about the face."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from sage_ns.avatar.atlas import LABELS, Atlas

GROUPS = {"face": ("face", "eyes", "lips"), "hair": ("hair",), "neck": ("neck",), "ears": ("ears",)}
"""Parts of the head with modes of their own, and the labels of the atlas that they hold."""


def groups_of(atlas: Atlas) -> Int[Tensor, "num_places"]:
    """Return the group of every place, a number of `GROUPS`."""
    group = torch.zeros(len(LABELS), dtype=torch.int64)
    for number, labels in enumerate(GROUPS.values()):
        for label in labels:
            group[LABELS.index(label)] = number
    return group[atlas.label]
