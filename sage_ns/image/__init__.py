"""Operators on images, without cameras."""

from __future__ import annotations

from sage_ns.image.ssim import ssim as ssim
