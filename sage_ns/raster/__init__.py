"""Draw surfels: one function `rasterize`, and three backends with the same outputs and gradients."""

from __future__ import annotations

from sage_ns.raster.depth_normal import normal_from_depth as normal_from_depth
from sage_ns.raster.dispatch import rasterize as rasterize
from sage_ns.raster.types import Buffers as Buffers
from sage_ns.raster.types import PinholeCamera as PinholeCamera
from sage_ns.raster.types import Surfels as Surfels
