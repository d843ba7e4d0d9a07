"""Splats as PLY of 2D Gaussian splatting: discs, for programs that draw discs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sage_ns.exchange.splat_formats.registry import SplatWriter, register_writer

if TYPE_CHECKING:
    from sage_ns.exchange.splats import Splats

SURFELS_COMMENT = "SplatRenderMode: 2dgs"
"""Comment that tells PlayCanvas' tools and Brush that splats are discs; others detect the missing third scale."""


@register_writer
class DiscPly(SplatWriter):
    """Surfels as discs, without conversion."""

    name = "2dgs"
    suffix = ".ply"
    summary = "PLY of discs, for programs that draw discs"
    holds = "discs with two scales, as 2DGS writes them; colour as in `3dgs`"
    programs = "programs that draw discs"
    y_down = True

    def write(self, path: Path, splats: Splats) -> None:
        """Write splats with two scales."""
        from sage_ns.exchange.splat_ply import write_splat_ply

        discs = splats.as_discs()
        write_splat_ply(path, discs, discs.log_scales, [SURFELS_COMMENT])
