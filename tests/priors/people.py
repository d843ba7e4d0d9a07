"""Invented people at the places of a small atlas, and one who sits before cameras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.priors.attributes import COLOUR, first_attributes, surfels_of
from sage_ns.priors.sitter import SUPERSAMPLING, Sitter, reference_atlas, reference_head, sit
from sage_ns.raster import PinholeCamera, rasterize
from sage_ns.raster.supersampling import averaged, enlarged
from sage_ns.system.array_fields import write_npz
from tests.tiny_capture import tiny_record

NUM_PLACES = 1000


def mean_person() -> Tensor:
    """Grey, with hair; the surfels are large enough to cover a head with few places."""
    atlas, head = reference_atlas(NUM_PLACES), reference_head()
    return first_attributes(atlas, atlas.points(head.v_template, head))


def people(count: int, seed: int = 0) -> Tensor:
    """People whose skin and hair have tones of their own, and whose hair stands off by different lengths."""
    generator = torch.Generator().manual_seed(seed)
    atlas = reference_atlas(NUM_PLACES)
    drawn = mean_person().repeat(count, 1, 1)
    skin, hair = torch.rand(2, count, 1, 3, generator=generator) * 0.5 + 0.2
    on_scalp = atlas.labelled("hair")
    drawn[:, ~on_scalp, COLOUR] = skin
    drawn[:, on_scalp, COLOUR] = hair
    drawn[:, on_scalp, 1] += torch.randn(count, 1, generator=generator)
    return drawn


def record() -> CaptureRecord:
    """The built-in head at rest; white background."""
    return tiny_record(reference_head(), 0)


def cameras(count: int, width: int = 40, height: int = 52) -> list[PinholeCamera]:
    """Cameras around the front of the head."""
    found = []
    for number in range(count):
        angle = torch.tensor(0.5 * (number - (count - 1) / 2))
        pose = torch.eye(4)
        pose[:3, 0] = torch.stack([angle.cos(), torch.tensor(0.0), -angle.sin()])
        pose[:3, 2] = torch.stack([angle.sin(), torch.tensor(0.0), angle.cos()])
        pose[:3, 3] = pose[:3, 2] * 0.9
        found.append(PinholeCamera.from_opengl(pose, 110.0, 110.0, width / 2, height / 2, width, height))
    return found


def drawn(attributes: Tensor, sitter: Sitter, camera: PinholeCamera) -> tuple[Tensor, Tensor]:
    """Picture on white [h, w, 3] and coverage [h, w, 1]."""
    with torch.no_grad():
        buffers = rasterize(sitter.posed.place(surfels_of(attributes), camera.center), enlarged(camera, SUPERSAMPLING))
    alpha = averaged(buffers.alpha, SUPERSAMPLING)
    return averaged(buffers.color, SUPERSAMPLING) + 1 - alpha, alpha


def photographed(attributes: Tensor, count: int = 3) -> list[Shot]:
    """Pictures of a person."""
    blank = [Shot(camera, torch.ones(52, 40, 3), torch.zeros(52, 40, 1)) for camera in cameras(count)]
    sitter = sit(record(), blank, NUM_PLACES)
    return [Shot(shot.camera, *drawn(attributes, sitter, shot.camera)) for shot in blank]


def spoil(path: Path, name: str, change: Callable[[np.ndarray], np.ndarray] | None) -> None:
    """Change one array of a prior's file; None removes it."""
    arrays = dict(np.load(path))
    if change is None:
        del arrays[name]
    else:
        with np.errstate(all="ignore"):
            arrays[name] = change(arrays[name])
    write_npz(path, arrays)
