"""Darkening of the inside of the head, which cameras see only through an open mouth."""

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
"""Index of the jaw's first angle, which opens the mouth, in a motion vector."""
_RAY_ROWS = 160
"""Approximate number of rows of rays per camera."""
_AROUND = 0.05
"""Metres; margin around the found triangles for other cameras and poses."""
_RIM = 0.03
"""Metres from the border of the neck; low cameras may see the inner side of this rim."""
_DARK = 0.06
"""Factor on the colour of a surfel that is seen from inside the head."""
_GRAZING, _INSIDE = -0.3, -0.6
"""Cosines between outward normal and direction to the camera: unchanged above the first, dark below the second."""


def interior_triangles(
    rig: PersonalRig, canonical: Float[Tensor, "num_coefficients"], cameras: Sequence[PinholeCamera]
) -> Bool[Tensor, "num_triangles"]:
    """Return the triangles whose inner side the cameras see through an open mouth.

    Excluded are the rim of the neck, whose inner side appears in the pictures of low cameras, and the ears, which are
    too thin to have an inner side.
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
    """Return the factor on the colour of a triangle's surfels: 1 from outside, nearly 0 from inside.

    Surfels are visible from both sides. Without this factor, an open mouth would show the inner sides of cheeks and
    back of the head in the colours of their outer sides, although hardly any light returns from there.
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
