"""Constants of the rasteriser's definition. The numba kernels hold literal copies of them; a test compares the two."""

from __future__ import annotations

ALPHA_MIN = 1.0 / 255.0
"""A surfel whose opacity at a pixel is below this is not drawn there (one step of an 8-bit image)."""

ALPHA_MAX = 0.999
"""Largest opacity of a surfel at a pixel; below 1, so that gradients still reach the surfels behind it."""

TRANSMITTANCE_MIN = 1e-4
"""Blending of a pixel stops before the surfel that would leave at most this share of its light."""

LOW_PASS = 2.0
"""gsplat's low-pass filter: a surfel is never drawn smaller than a disc of squared Mahalanobis distance 2 |dx|^2, in
pixels; that is a standard deviation of 0.71 pixels."""

GAUSSIAN_LOW_PASS = 0.3
"""Variance that 3DGS adds to every projected 3D Gaussian, square pixels: none is drawn smaller than a pixel."""

NEAR_PLANE = 0.01
"""Surfels whose centre is nearer than this are not drawn, metres."""

COSINE_EDGE_ON = 1e-6
"""Smallest cosine between a surfel's normal and the ray to its centre; a surfel closer to edge-on is drawn with it."""

COSINE_GRAZING = 0.2
"""Cosine between normal and central ray (about 78 degrees) under which depth is flattened over the footprint."""

INVERSE_DEPTH_MIN = 1e-3
"""Smallest blended inverse depth, 1/m: depth is at most 1 km. Only surfels across the camera's plane need it."""
