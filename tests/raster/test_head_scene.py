"""The benchmark's scene has the load that it claims."""

from __future__ import annotations

import torch

from sage_ns.bench.speed.head_scene import count_lanes, head_like, scene_camera
from sage_ns.raster import rasterize
from sage_ns.raster.numba_backend import _Pairs
from sage_ns.raster.projection import project_surfels
from sage_ns.raster.reference import _alphas


def test_counted_pixels_are_those_that_the_reference_draws():
    surfels, camera = head_like(300), scene_camera(24, 24)
    pairs = _Pairs(tuple(tensor.numpy() for tensor in surfels.__dict__.values()), camera)
    evaluated, drawn = count_lanes(pairs.records, pairs.boxes, pairs.num_tiles)
    rows, columns = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    pixels = torch.stack((columns, rows), -1).reshape(-1, 2) + 0.5
    projected = project_surfels(surfels, camera)
    expected = int((_alphas(pixels, surfels, projected, torch.arange(300), camera) > 0).sum())
    assert abs(drawn - expected) <= 2
    assert evaluated > drawn


def test_about_seventeen_surfels_contribute_to_a_pixel_of_the_head():
    surfels, camera = head_like(5000), scene_camera(128, 128)
    pairs = _Pairs(tuple(tensor.numpy() for tensor in surfels.__dict__.values()), camera)
    _, drawn = count_lanes(pairs.records, pairs.boxes, pairs.num_tiles)
    inside = rasterize(surfels, camera).alpha > 0
    assert 15 < drawn / int(inside.sum()) < 19
    assert 0.4 < float(inside.float().mean()) < 0.5
