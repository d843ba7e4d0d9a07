"""The contact sheet of a tracked photo: what was found, to be looked at before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.geometry.triangles import triangle_frames
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import pixel_rays
from sage_ns.rig import HeadModel
from sage_ns.video.contact_sheet import SheetRow, write_contact_sheet

_LEAST_HEIGHT = 480
"""Pixels; smaller pictures are enlarged, so that landmarks can be told apart."""
_DETECTED, _FITTED = (0, 200, 80), (255, 60, 60)
_BLEND = 0.65
COLUMNS = ("picture", "landmarks: detected green, fitted red", "fitted head", "foreground on white")


def mesh_over(
    picture: Float[np.ndarray, "h w 3"],
    vertices: Float[Tensor, "num_vertices 3"],
    model: HeadModel,
    camera: PinholeCamera,
) -> Float[np.ndarray, "h w 3"]:
    """Return the picture (0..1) with the posed rig over it, shaded by the angle to the camera."""
    origins, directions = (each.reshape(-1, 3) for each in pixel_rays(camera))
    hits = TriangleMesh(vertices, model.triangles).first_hits(origins, directions)
    normals = triangle_frames(vertices, model.triangles).rotation[:, :, 1][hits.triangle.clamp_min(0)]
    flat = torch.nn.functional.normalize(directions, dim=-1)
    shade = (normals * flat).sum(dim=-1).abs().reshape(camera.height, camera.width, 1).double().numpy()
    shown = (hits.triangle >= 0).reshape(camera.height, camera.width, 1).double().numpy() * _BLEND
    return picture * (1 - shown) + shown * shade


def landmarks_over(
    picture: Float[np.ndarray, "h w 3"], detected: Float[np.ndarray, "n 2"], fitted: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "h w 3"]:
    """Return the picture (0..1), enlarged if it is small, with both sets of landmarks [pixels]."""
    scale = max(1, -(-_LEAST_HEIGHT // len(picture)))
    image = Image.fromarray(np.round(255 * picture).astype(np.uint8))
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for (x, y), (u, v) in zip(scale * detected, scale * fitted, strict=True):
        draw.line((x, y, u, v), fill=_FITTED)
        draw.ellipse((x - 1, y - 1, x + 1, y + 1), fill=_DETECTED)
    return np.asarray(image) / 255.0


@dataclass(frozen=True, eq=False)
class SheetPictures:
    """One row of the contact sheet."""

    title: str
    pictures: tuple[Float[np.ndarray, "h w 3"], ...]
    """One for each column of the sheet, 0..1."""


def write_sheet(path: Path, rows: Sequence[SheetPictures], columns: Sequence[str] = COLUMNS) -> None:
    """Write rows of pictures as one PNG, with the names of the columns above."""
    shown = [
        SheetRow(row.title, [torch.from_numpy(np.ascontiguousarray(each)).float() for each in row.pictures])
        for row in rows
    ]
    write_contact_sheet(path, columns, shown, max(len(rows[0].pictures[0]), _LEAST_HEIGHT))
