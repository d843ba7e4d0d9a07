"""The inside of the head: what comes into view only when the mouth opens is dark."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.geometry.mesh_queries import first_triangles
from sage_ns.geometry.triangles import TriangleFrames, triangle_normals
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import pixel_rays

_JAW_OPENINGS = (0.15, 0.35)
"""Radians beyond the canonical jaw pose; 0.35 is a wide open mouth."""
_JAW = 9
"""Where a motion vector has the jaw's first angle, which opens the mouth."""
_RAY_ROWS = 160
"""About how many rows of rays a camera casts."""
_AROUND = 0.05
"""Metres; other cameras and poses look past the found triangles by about this."""
_RIM = 0.03
"""Metres from the border of the neck that low cameras may see the inside of."""
_DARK = 0.06
"""Share of its colour that a surfel keeps when it is seen from inside the head."""
_GRAZING, _INSIDE = -0.3, -0.6
"""Cosine between outward normal and direction to the camera: untouched above the first, dark below the second."""


def interior_triangles(
    rig: PersonalRig, canonical: Float[Tensor, "num_coefficients"], cameras: Sequence[PinholeCamera]
) -> Bool[Tensor, "num_triangles"]:
    """Triangles whose inside the cameras see through an open mouth.

    Left out are the rim of the neck, whose inside low cameras see and picture from below, and the ears, which are
    too thin to have an inside.
    """
    head_model = rig.head_model
    triangles, regions = head_model.triangles, head_model.regions
    found = torch.zeros(triangles.shape[0], dtype=torch.bool, device=triangles.device)
    for angle in _JAW_OPENINGS:
        motion = canonical.clone()
        motion[_JAW] += angle
        found |= _seen_from_inside(rig.vertices(motion), triangles, cameras)
    vertices = rig.vertices(canonical)
    centroids = vertices[triangles].mean(dim=1)
    kept = regions.triangle_mask("left_ear", triangles) | regions.triangle_mask("right_ear", triangles)
    rim = vertices[regions.vertices("boundary")]
    if len(rim) > 0:
        kept |= torch.cdist(centroids, rim).amin(dim=1) < _RIM
    found &= ~kept
    if not bool(found.any()):
        return found
    return (torch.cdist(centroids, centroids[found]).amin(dim=1) < _AROUND) & ~kept


def interior_shade(
    interior: Bool[Tensor, "num_triangles"], frames: TriangleFrames, camera_center: Float[Tensor, "3"]
) -> Float[Tensor, "num_triangles"]:
    """Factor on the colour of a triangle's surfels: 1 from outside, nearly 0 where it turns its inside to the camera.

    A surfel is visible from both sides. Without this, the inside of cheeks and back of the head shines through an
    opening mouth in the colours of its outside, though light that gets there hardly comes back.
    """
    towards = torch.nn.functional.normalize(camera_center - frames.origin, dim=-1)
    facing = (frames.normal * towards).sum(dim=-1)
    inside = ((_GRAZING - facing) / (_GRAZING - _INSIDE)).clamp(0.0, 1.0)
    return 1.0 - (1.0 - _DARK) * inside * interior


def _seen_from_inside(
    vertices: Float[Tensor, "num_vertices 3"], triangles: Tensor, cameras: Sequence[PinholeCamera]
) -> Bool[Tensor, "num_triangles"]:
    seen = torch.zeros(triangles.shape[0], dtype=torch.bool, device=triangles.device)
    normals = triangle_normals(vertices, triangles)
    for camera in cameras:
        step = max(1, camera.height // _RAY_ROWS)
        origins, directions = (rays[::step, ::step].reshape(-1, 3) for rays in pixel_rays(camera))
        hits = first_triangles(vertices, triangles, origins, directions).to(triangles.device)
        directions, hits = directions[hits >= 0].to(vertices), hits[hits >= 0]
        leaving = (normals[hits] * directions).sum(dim=-1) > 0
        seen[hits[leaving]] = True
    return seen
