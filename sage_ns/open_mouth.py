"""Which pixels look into the open mouth, and what they should show."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.appearance_consistency import Expected
from sage_ns.avatar.mouth import Mouth
from sage_ns.capture.cameras import pixel_rays, project
from sage_ns.geometry.ray_casting import first_triangles
from sage_ns.raster import PinholeCamera, rasterize
from sage_ns.raster.supersampling import downsampled, enlarged


@torch.no_grad()
def open_mouth(
    mouth: Mouth,
    motion: Float[Tensor, "num_coefficients"],
    vertices: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    camera: PinholeCamera,
    supersampling: int,
    background: Float[Tensor, "3"],
) -> Expected:
    """Pixels whose rays meet the inside of the mouth before any skin, in the colours of the mouth alone [reading].

    Lips that open turn surfels of the closed seam, which no picture has shown from there, over the teeth. Held to this
    they learn to keep clear.

    Args:
        mouth: of the avatar; not trained.
        motion: the moment.
        vertices, triangles: the head's mesh at that moment, metres.
        camera: that looks.
        supersampling: draw the mouth at this many times the resolution.
        background: colour that shines through where the mouth's surfels leave a gap.
    """
    inside = mouth.vertices(motion)
    combined = torch.cat([triangles, mouth.rig.head_model.triangles + len(vertices)])
    seen = project(inside[mouth.rig.head_model.triangles.unique()], camera)
    width = camera.width
    rows, columns = (torch.arange(int(at.min()), int(at.max()) + 1) for at in (seen.row, seen.column))
    pixel = (rows[:, None] * width + columns[None]).reshape(-1).to(vertices.device)
    origins, directions = (rays.reshape(-1, 3)[pixel] for rays in pixel_rays(camera))
    met = first_triangles(torch.cat([vertices, inside]), combined, origins, directions).to(vertices.device)
    pixel = pixel[met >= len(triangles)]
    alone = rasterize(mouth.place(motion, camera.center), enlarged(camera, supersampling))
    shown = downsampled(alone, supersampling).composite(background)
    return Expected(pixel, shown.reshape(-1, 3)[pixel])
