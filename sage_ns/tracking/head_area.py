"""Where in a picture the head and its hair may be, from the fitted rig: the body below is no part of an avatar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy import ndimage
from torch import Tensor

from sage_ns.geometry.mesh_queries import first_triangles
from sage_ns.geometry.similarity import rigid_motion
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import pixel_rays, project
from sage_ns.rig import HeadModel

_HAIR, _NECK = 0.10, 0.012
"""Metres that hair may reach beyond the rig, and that skin may at the neck."""
_FADE = 0.25
"""Share of a reach over which the area ends."""
_STEP = 0.02
"""Metres along the neck that tell its direction in the picture."""
_LOWEST = 0.02
"""Share of the vertices that end the neck of a head model without the region "boundary"."""


def shown_in(
    vertices: Float[Tensor, "num_vertices 3"], model: HeadModel, camera: PinholeCamera
) -> Int64[Tensor, "h w"]:
    """Return the triangle of the posed rig that each pixel shows, -1 for none."""
    origins, directions = pixel_rays(camera)
    hits = first_triangles(vertices, model.triangles, origins.reshape(-1, 3), directions.reshape(-1, 3))
    return hits.reshape(camera.height, camera.width).cpu()


def silhouette(
    vertices: Float[Tensor, "num_vertices 3"], model: HeadModel, camera: PinholeCamera
) -> Float[np.ndarray, "h w"]:
    """Return 1 where the posed rig is and 0 elsewhere."""
    return (shown_in(vertices, model, camera) >= 0).double().numpy()


@dataclass(frozen=True, eq=False)
class Heights:
    """Where pixels lie along the projected axis of the neck."""

    below_chin: Float[np.ndarray, "h w"]
    """Metres; negative above the chin."""
    above_end: Float[np.ndarray, "h w"]
    """Pixels; negative below the end of the neck."""
    per_metre: float
    """Pixels of a metre at the depth of the head."""


def heights(
    vertices: Float[Tensor, "num_vertices 3"], model: HeadModel, camera: PinholeCamera, chin: Float[Tensor, "2"]
) -> Heights:
    """Return the heights of all pixels.

    Down is the way of the neck's own axis in the picture. The way from the chin to the end of the neck is not: in a
    head that turns or bows, the chin is as low as the neck, and beside it.

    Args:
        vertices: posed rig, metres.
        model: head model.
        camera: of the picture.
        chin: its pixel.
    """
    end = _neck_end(model)
    pixels = project(vertices, camera).pixels
    depth = project(vertices.mean(dim=0)[None], camera).depth
    per_metre = float(camera.intrinsics[0, 0] / depth)
    down = _down(vertices, model, camera)
    rows, columns = np.mgrid[: camera.height, : camera.width] + 0.5
    along = columns * float(down[0]) + rows * float(down[1])
    below = (along - float(chin.double() @ down)) / per_metre
    return Heights(below, float((pixels[end].double() @ down).mean()) - along, per_metre)


def head_area(height: Heights, shape: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Return 1 where head, hair and neck may be, 0 where they cannot be, with soft borders.

    Beside the face, hair may reach `_HAIR` beyond the silhouette of the rig; from the chin on, only skin may, up to the
    end of the rig's neck.

    Args:
        height: of the pixels.
        shape: silhouette of the rig.
    """
    beside = np.asarray(ndimage.distance_transform_edt(shape < 0.5)) / height.per_metre
    # The reach falls from that of hair to that of skin before the chin: shoulders and collars rise beside it.
    reach = np.interp(height.below_chin, [-0.06, -0.01], [_HAIR, _NECK])
    near = np.clip((reach - beside) / (_FADE * reach), 0.0, 1.0)
    return near * np.clip(height.above_end + 0.5, 0.0, 1.0)


def _down(vertices: Float[Tensor, "num_vertices 3"], model: HeadModel, camera: PinholeCamera) -> Float[Tensor, "2"]:
    """Return the direction in the picture in which the neck goes down: that of the rig at rest, moved with its end."""
    end = _neck_end(model)
    turn = rigid_motion(model.v_template[end].cpu().double(), vertices[end].double()).rotation
    start = vertices[end].mean(dim=0)
    way = torch.stack([start, start - _STEP * turn[:, 1].to(start)])
    first, second = project(way, camera).pixels.double()
    down = second - first
    return down / down.norm()


def _neck_end(model: HeadModel) -> Tensor:
    """Return the vertices at which the neck ends."""
    end = model.regions.vertices("boundary").cpu()
    if len(end):
        return end
    height = model.v_template[:, 1].cpu()
    return height.topk(max(3, int(_LOWEST * len(height))), largest=False).indices
