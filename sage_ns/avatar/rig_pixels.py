"""Which triangle of a posed rig each pixel of a picture shows."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.geometry.mesh_queries import first_triangles
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import pixel_rays
from sage_ns.rig import HeadModel


def shown_triangles(
    rig: PersonalRig, motion: Float[Tensor, "num_coefficients"], camera: PinholeCamera
) -> Int64[Tensor, "h w"]:
    """Return the triangle of the rig under ``motion`` that the ray through each pixel meets first; -1 for none."""
    origins, directions = pixel_rays(camera)
    flat = origins.reshape(-1, 3), directions.reshape(-1, 3)
    hits = first_triangles(rig.vertices(motion), rig.head_model.triangles, *flat)
    return hits.reshape(camera.height, camera.width).to(camera.intrinsics.device)


def pixels_on(shown: Int64[Tensor, "h w"], triangles: Bool[Tensor, "num_triangles"]) -> Bool[Tensor, "h w"]:
    """Return which pixels show one of the marked triangles, where ``shown`` is what `shown_triangles` returned."""
    return triangles.to(shown.device)[shown.clamp_min(0)] & (shown >= 0)


def face_triangles(head_model: HeadModel) -> Bool[Tensor, "num_triangles"]:
    """Return the triangles of face and eyeballs; none if the head model does not have these regions."""
    regions, triangles = head_model.regions, head_model.triangles
    return regions.triangle_mask("face", triangles) | regions.triangle_mask("eyes", triangles)
