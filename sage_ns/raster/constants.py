"""The numbers that define the picture. The numba kernels hold literal copies of them; a test compares the two."""

from __future__ import annotations

ALPHA_MIN = 1.0 / 255.0
"""A surfel whose opacity at a pixel is below this is not drawn there (one step of an 8-bit image)."""

ALPHA_MAX = 0.999
"""A surfel never hides all that is behind it, so that gradients still reach there."""

TRANSMITTANCE_MIN = 1e-4
"""A pixel is finished before the surfel that would leave at most this share of its light."""

LOW_PASS = 2.0
"""gsplat's low-pass filter: a surfel is never drawn smaller than a disc of squared Mahalanobis distance 2 |dx|^2, in
pixels; that is a standard deviation of 0.71 pixels."""

NEAR_PLANE = 0.01
"""Surfels whose centre is nearer than this are not drawn, metres."""

COSINE_EDGE_ON = 1e-6
"""A surfel is treated as tilted at least this little (cosine between its normal and the ray to its centre)."""

COSINE_GRAZING = 0.2
"""Beyond this tilt (cosine between normal and central ray, about 78 degrees) depth flattens over the footprint."""

INVERSE_DEPTH_MIN = 1e-3
"""Blended depth is at most 1 km: only surfels that cross the camera's plane ask for more."""
