"""The inside of the head: what comes into view only when the mouth opens is dark."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.capture.cameras import pixel_rays
from sage_ns.geometry.ray_casting import first_triangles
from sage_ns.geometry.triangles import TriangleFrames, triangle_normals
from sage_ns.raster import PinholeCamera

_JAW_OPENINGS = (0.15, 0.35)
"""Radians beyond the canonical jaw pose; 0.35 is a wide open mouth."""
_JAW = 9
"""Where a motion vector has the jaw's first angle, which opens the mouth."""
_RAY_ROWS = 160
"""About how many rows of rays a camera casts."""
_AROUND = 0.02
"""Metres; other cameras and poses look past the found triangles by about this."""
_DARK = 0.06
"""Share of its colour that a surfel keeps when it is seen from inside the head."""
_GRAZING, _INSIDE = -0.1, -0.4
"""Cosine between outward normal and direction to the camera: untouched above the first, dark below the second."""


def interior_triangles(
    rig: PersonalRig, canonical: Float[Tensor, "num_coefficients"], cameras: Sequence[PinholeCamera]
) -> Bool[Tensor, "num_triangles"]:
    """Triangles whose inside the cameras see through an open mouth, and not while it is as at the canonical moment.

    What they see from inside at the canonical moment too (the rim of the neck from below) is pictured and stays as
    it is; so do the ears, which are too thin to have an inside.
    """
    head_model = rig.head_model
    triangles, regions = head_model.triangles, head_model.regions
    pictured = _seen_from_inside(rig.vertices(canonical), triangles, cameras)
    opened = torch.zeros_like(pictured)
    for angle in _JAW_OPENINGS:
        motion = canonical.clone()
        motion[_JAW] += angle
        opened |= _seen_from_inside(rig.vertices(motion), triangles, cameras)
    ears = regions.triangle_mask("left_ear", triangles) | regions.triangle_mask("right_ear", triangles)
    kept = pictured | ears
    found = opened & ~kept
    if not bool(found.any()):
        return found
    centroids = rig.vertices(canonical)[triangles].mean(dim=1)
    near = torch.cdist(centroids, centroids[found]).amin(dim=1) < _AROUND
    return near & ~kept


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
