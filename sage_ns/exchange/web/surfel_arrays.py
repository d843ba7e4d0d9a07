"""Surfels of head and mouth as one set of arrays for the browser."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.exchange.discs import as_discs

_HALF = ("quaternions", "log_scales", "opacity_logits", "sh_dc", "sh_rest")


def surfel_arrays(parts: Sequence[tuple[BoundSurfels, int]], sh_degree: int) -> dict[str, np.ndarray]:
    """Return all surfels by the names of :class:`BoundSurfels`, in random order.

    The first n surfels are an even sample of all of them: a slow machine draws only these. Centres are float32, all
    other values float16.

    Args:
        parts: surfels, and the number of their first triangle among all triangles.
        sh_degree: degree of the view-dependent colour that is kept; missing degrees are zeros.
    """
    num_rest = (sh_degree + 1) ** 2 - 1
    values: dict[str, list[Tensor]] = {name: [] for name in ("triangle", *BoundSurfels.PARAMETERS)}
    for surfels, first_triangle in parts:
        values["triangle"].append(surfels.triangle.cpu() + first_triangle)
        for name in BoundSurfels.PARAMETERS:
            values[name].append(getattr(surfels, name).detach().float().cpu())
        if not surfels.are_flat:  # the page draws discs
            shape = values["log_scales"][-1], values["quaternions"][-1]
            values["log_scales"][-1], values["quaternions"][-1], _ = as_discs(*shape)
        rest = values["sh_rest"][-1]
        values["sh_rest"][-1] = F.pad(rest, (0, 0, 0, max(num_rest - rest.shape[1], 0)))[:, :num_rest]
    joined = {name: torch.cat(tensors) for name, tensors in values.items()}
    joined["quaternions"] = F.normalize(joined["quaternions"], dim=-1)
    order = torch.randperm(len(joined["triangle"]), generator=torch.Generator().manual_seed(0))
    arrays = {name: tensor[order].numpy() for name, tensor in joined.items()}
    return {
        "triangle": arrays["triangle"].astype(np.uint32),
        "means": arrays["means"].astype(np.float32),
        **{name: arrays[name].astype(np.float16) for name in _HALF},
    }
