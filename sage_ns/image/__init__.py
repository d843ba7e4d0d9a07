"""Comparison of images: structural similarity and the metrics of evaluation."""

from __future__ import annotations

from sage_ns.image.ssim import ssim as ssim
