"""Placeholder until the kernels land."""

from __future__ import annotations

from sage_ns.raster.reference import rasterize_reference as rasterize_numba  # noqa: F401
