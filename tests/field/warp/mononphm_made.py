"""MonoNPHM's files with made-up weights of the right shapes, small or as large as theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

GEO, EXP = 6, 4
"""Codes of the small network; theirs has 512 and 100."""


def made_up_layers(geo: int = GEO, exp: int = EXP, width: int = 8, outputs: int = 5, size: float = 0.1) -> dict:
    """A state dict ``defDeepSDF.lin0..lin6`` with random weights."""
    generator = torch.Generator().manual_seed(0)
    inputs = 3 + geo + exp
    shapes = [(width, inputs), *[(width, width)] * 2, (width, width + inputs), *[(width, width)] * 2, (outputs, width)]
    layers = {}
    for index, (rows, columns) in enumerate(shapes):
        spread = size * (100 / columns) ** 0.5
        layers[f"defDeepSDF.lin{index}.weight"] = spread * torch.randn(rows, columns, generator=generator)
        layers[f"defDeepSDF.lin{index}.bias"] = 0.1 * size * torch.randn(rows, generator=generator)
    return layers


def linear_layers(matrix: Tensor, from_expression: Tensor) -> dict:
    """A network of which all softplus are straight: ``o = matrix x + from_expression z_exp``, for inputs of about 1.

    Its hidden units hold x + 5 and the expression + 5; layer 3 receives 5 more through its second input.
    """
    width, inputs = 3 + EXP, 3 + GEO + EXP
    pick = torch.zeros(width, inputs)
    pick[:3, :3], pick[3:, -EXP:] = torch.eye(3), torch.eye(EXP)
    layers = {}
    for index in range(7):
        layers[f"defDeepSDF.lin{index}.weight"] = torch.eye(width)
        layers[f"defDeepSDF.lin{index}.bias"] = torch.zeros(width)
    layers["defDeepSDF.lin0.weight"], layers["defDeepSDF.lin0.bias"] = pick, torch.full((width,), 5.0)
    half = 2**0.5 / 2
    layers["defDeepSDF.lin3.weight"] = torch.cat([half * torch.eye(width), half * pick], dim=-1)
    layers["defDeepSDF.lin3.bias"] = torch.full((width,), 2.5)
    out = torch.cat([matrix, from_expression], dim=-1)
    layers["defDeepSDF.lin6.weight"] = torch.cat([out, torch.ones(2, width)])
    layers["defDeepSDF.lin6.bias"] = torch.cat([-5.0 * out.sum(dim=-1), torch.zeros(2)])
    return layers


def write_checkpoint(path: Path, layers: dict) -> Path:
    """Write what their training writes, as far as it matters."""
    torch.save({"epoch": 2500, "id_decoder": {"lin0.weight": torch.zeros(2, 2)}, "ex_decoder": layers}, path)
    return path


def write_tracking(folder: Path, stage: int = 2, numbers: tuple[int, ...] = (0, 3, 7), still: bool = False) -> Path:
    """Write frames; expression codes of frame i are all i / 10, rotations and scales differ unless ``still``."""
    from sage_ns.geometry.rotations import axis_angle_to_matrix

    folder.mkdir(parents=True, exist_ok=True)
    identity = np.linspace(-1, 1, GEO, dtype=np.float32)[None]
    if stage == 2:
        np.save(folder / "z_geo.npy", identity)
    codebook = np.repeat(np.arange(len(numbers), dtype=np.float32)[:, None] / 10, EXP, axis=1)
    for row, number in enumerate(numbers):
        frame = folder / f"{number:05d}"
        frame.mkdir()
        if stage == 1:
            np.save(frame / "z_geo.npy", identity)
        np.save(frame / "z_exp.npy", codebook if stage == 2 else codebook[row : row + 1])
        turn = 0.0 if still else 0.1 * row
        np.save(frame / "rot.npy", axis_angle_to_matrix(torch.tensor([[0.0, turn, 0.05]])).numpy())
        np.save(frame / "trans.npy", np.array([[0.1, 0.02, -0.05 + turn]], dtype=np.float32))
        np.save(frame / "scale.npy", np.array([0.9 + turn], dtype=np.float32))
    return folder
