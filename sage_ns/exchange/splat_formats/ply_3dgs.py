"""Splats as PLY of 3D Gaussian splatting, which nearly all programs read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sage_ns.exchange.splat_formats.registry import SplatWriter, register_writer

if TYPE_CHECKING:
    from sage_ns.exchange.splats import Splats


@register_writer
class EllipsoidPly(SplatWriter):
    """Surfels as thin ellipsoids, see `sage_ns.raster.gaussians.THICKNESS`; 3D Gaussians as they are."""

    name = "3dgs"
    suffix = ".ply"
    summary = "PLY that every program reads, surfels as thin ellipsoids"
    holds = "ellipsoids, a hundredth as thick as a surfel's smaller scale; view-dependent colour, filled up to degree 3"
    programs = "SuperSplat and nearly all other programs"
    y_down = True

    def write(self, path: Path, splats: Splats) -> None:
        """Write splats with three scales."""
        from sage_ns.exchange.splat_ply import write_splat_ply

        write_splat_ply(path, splats, splats.ellipsoid_log_scales)
