"""The rasteriser on the CPU: compiled kernels, with their own backward pass, behind one autograd function."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import record_function

from sage_ns.raster import _numba_blend as blending
from sage_ns.raster import _numba_blend_backward as unblending
from sage_ns.raster import _numba_order as ordering
from sage_ns.raster import _numba_project as projecting
from sage_ns.raster.depth_normal import camera_floats, normal_from_depth
from sage_ns.raster.hit_distortion import hit_distortion
from sage_ns.raster.types import Buffers, Distortion, PinholeCamera, Surfels
from sage_ns.system.parallel import even_bounds, num_threads, run_chunks, scratch

_TILE = 8


def rasterize_numba(surfels: Surfels, camera: PinholeCamera, distortion: Distortion = "centre") -> Buffers:
    """Draw float32 surfels on the CPU, see `rasterize`. Bitwise the same for any number of threads."""
    camera = camera.to("cpu", torch.float32)
    over_hits = distortion == "hit"
    color, alpha, depth, median, normal, spread = _Rasterize.apply(
        surfels.means, surfels.quaternions, surfels.scales, surfels.opacities, surfels.colors, camera, over_hits
    )
    distorted = hit_distortion(spread, depth) if over_hits else spread
    return Buffers(color, alpha, depth, median, normal, normal_from_depth(depth, camera), distorted)


class _Pairs:
    """All (surfel, tile) pairs of a picture: per surfel its screen record, per tile its surfels front to back."""

    def __init__(self, arrays: tuple[np.ndarray, ...], camera: PinholeCamera) -> None:
        num = len(arrays[0])
        self.width, self.height = camera.width, camera.height
        self.tiles_x, self.tiles_y = -(-camera.width // _TILE), -(-camera.height // _TILE)
        self.camera, self.low_pass = camera_floats(camera), np.float32(camera.low_pass)
        self.records = np.empty((num, projecting.RECORD), np.float32)
        self.boxes = np.empty((num, 4), np.int32)
        self.num_tiles = np.empty(num, np.int32)
        self.slots = np.empty(num, np.int32)
        keys = scratch("surfel depths", (num,))
        with record_function("surfels: project"):
            outputs = (self.records, self.boxes, keys, self.num_tiles)
            shown = (self.camera, self.low_pass, self.width, self.height)
            run_chunks(projecting.project, even_bounds(num, 2048), *arrays, *shown, *outputs)
        with record_function("surfels: sort"):
            order, other = scratch("order", (num,), np.int32), scratch("other order", (num,), np.int32)
            bits = keys.view(np.uint32)
            visible, num_pairs = ordering.depth_order(bits, self.num_tiles, order, other, self.slots)
        with record_function("surfels: tiles"):
            self._fill_tiles(order[:visible], int(num_pairs))

    def _fill_tiles(self, order: np.ndarray, num_pairs: int) -> None:
        counts = np.empty(self.tiles_x * self.tiles_y, np.int32)
        rows = even_bounds(self.tiles_y, max(1, self.tiles_y // num_threads()))
        run_chunks(ordering.count_pairs, rows, order, self.boxes, self.tiles_x, counts)
        self.offsets = np.zeros(len(counts) + 1, np.int32)
        np.cumsum(counts, out=self.offsets[1:])
        self.num_pairs = num_pairs
        self.pair_surfel, self.pair_slot = np.empty(num_pairs, np.int32), np.empty(num_pairs, np.int32)
        tiles = (self.tiles_x, self.offsets, self.pair_surfel, self.pair_slot)
        run_chunks(ordering.fill_pairs, rows, order, self.boxes, self.slots, *tiles)

    def lists(self) -> tuple[np.ndarray, ...]:
        """Return the first arguments of every kernel over tiles: flat records, boxes, first pair of each tile."""
        return self.records.reshape(-1), self.boxes, self.offsets

    def size(self) -> tuple[int, int, int, np.float32]:
        """Return width and height in pixels, width in tiles, and the camera's low-pass factor."""
        return self.width, self.height, self.tiles_x, self.low_pass

    def tile_bounds(self) -> list[int]:
        """Return borders that cut the tiles into chunks with about equal numbers of pairs."""
        shares = np.asarray(even_bounds(self.num_pairs, 512))
        inner = np.searchsorted(self.offsets, shares[1:-1])
        return [0, *inner.tolist(), len(self.offsets) - 1]


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        quaternions: Tensor,
        scales: Tensor,
        opacities: Tensor,
        colors: Tensor,
        camera: PinholeCamera,
        over_hits: bool,
    ) -> tuple[Tensor, ...]:
        arrays = tuple(
            np.ascontiguousarray(tensor.detach().numpy()) for tensor in (means, quaternions, scales, opacities, colors)
        )
        pairs = _Pairs(arrays, camera)
        channels = {"color": 3, "alpha": 1, "depth": 1, "median": 1, "normal": 3, "distortion": 1}
        images = [torch.empty(camera.height, camera.width, channel) for channel in channels.values()]
        # The kernels compute the distortion over hits if the state has room for its sums.
        state = np.empty((len(pairs.offsets) - 1, 7 if over_hits else 4, 64), np.float32)
        drawn = (*(image.numpy() for image in images), state)
        with record_function("surfels: blend"):
            run_chunks(blending.blend, pairs.tile_bounds(), *pairs.lists(), pairs.pair_surfel, *pairs.size(), *drawn)
        ctx.arrays, ctx.pairs, ctx.state = arrays, pairs, state
        ctx.mark_non_differentiable(images[3])
        return tuple(images)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        pairs: _Pairs = ctx.pairs
        means, quaternions, scales = ctx.arrays[:3]
        color, alpha, depth, _, normal, distortion = (
            np.ascontiguousarray(gradient.detach().numpy()) for gradient in gradients
        )
        sums = scratch("gradient sums", (pairs.num_pairs, unblending.SUMS))
        images = (color, alpha, depth, normal, distortion)
        with record_function("surfels: blend backward"):
            members = (*pairs.lists(), pairs.pair_surfel, pairs.pair_slot)
            bounds = pairs.tile_bounds()
            run_chunks(unblending.blend_backward, bounds, *members, *pairs.size(), ctx.state, *images, sums.reshape(-1))
        results = [torch.empty(array.shape) for array in ctx.arrays]
        with record_function("surfels: project backward"):
            screen = (pairs.camera, pairs.records, pairs.num_tiles, pairs.slots, sums)
            gradients_out = (result.numpy() for result in results)
            bounds = even_bounds(len(means), 2048)
            run_chunks(projecting.project_backward, bounds, means, quaternions, scales, *screen, *gradients_out)
        return (*results, None, None)
