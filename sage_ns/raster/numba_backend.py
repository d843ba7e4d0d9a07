"""The rasteriser on the CPU: compiled kernels, with their own backward pass, behind one autograd function."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sage_ns.parallel import even_bounds, num_threads, run_chunks
from sage_ns.raster import _numba_order as ordering
from sage_ns.raster import _numba_project as projecting
from sage_ns.raster import _numba_tiles as tiling
from sage_ns.raster.depth_normal import camera_floats, normal_from_depth
from sage_ns.raster.types import Buffers, PinholeCamera, Surfels

_TILE = 8


def rasterize_numba(surfels: Surfels, camera: PinholeCamera) -> Buffers:
    """Draw float32 surfels on the CPU, see `rasterize`. Bitwise the same for any number of threads."""
    camera = camera.to("cpu", torch.float32)
    color, alpha, depth, median, normal, distortion = _Rasterize.apply(
        surfels.means, surfels.quaternions, surfels.scales, surfels.opacities, surfels.colors, camera
    )
    return Buffers(color, alpha, depth, median, normal, normal_from_depth(depth, camera), distortion)


class _Pairs:
    """All (surfel, tile) pairs of a picture: per surfel its screen record, per tile its surfels front to back."""

    def __init__(self, arrays: tuple[np.ndarray, ...], camera: PinholeCamera) -> None:
        num = len(arrays[0])
        width, height = camera.width, camera.height
        self.width, self.height = width, height
        self.tiles_x, self.tiles_y = -(-width // _TILE), -(-height // _TILE)
        self.camera = camera_floats(camera)
        self.records = np.empty((num, projecting.RECORD), np.float32)
        self.boxes = np.empty((num, 4), np.int32)
        self.num_tiles = np.empty(num, np.int32)
        keys = np.empty(num, np.float32)
        run_chunks(
            projecting.project,
            even_bounds(num, 2048),
            *arrays,
            self.camera,
            width,
            height,
            self.records,
            self.boxes,
            keys,
            self.num_tiles,
        )
        order, other = np.empty(num, np.int32), np.empty(num, np.int32)
        self.slots = np.empty(num, np.int32)
        visible, self.num_pairs = ordering.depth_order(keys.view(np.uint32), self.num_tiles, order, other, self.slots)
        order = order[:visible]
        counts = np.empty(self.tiles_x * self.tiles_y, np.int32)
        rows = even_bounds(self.tiles_y, max(1, self.tiles_y // num_threads()))
        run_chunks(ordering.count_pairs, rows, order, self.boxes, self.tiles_x, counts)
        self.offsets = np.zeros(len(counts) + 1, np.int32)
        np.cumsum(counts, out=self.offsets[1:])
        self.pair_surfel = np.empty(self.num_pairs, np.int32)
        self.pair_slot = np.empty(self.num_pairs, np.int32)
        run_chunks(
            ordering.fill_pairs,
            rows,
            order,
            self.boxes,
            self.slots,
            self.tiles_x,
            self.offsets,
            self.pair_surfel,
            self.pair_slot,
        )

    def tile_bounds(self) -> list[int]:
        """Borders that cut the tiles into chunks with about equal numbers of pairs."""
        shares = np.asarray(even_bounds(int(self.num_pairs), 512))
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
    ) -> tuple[Tensor, ...]:
        arrays = tuple(
            np.ascontiguousarray(tensor.detach().numpy()) for tensor in (means, quaternions, scales, opacities, colors)
        )
        pairs = _Pairs(arrays, camera)
        height, width = camera.height, camera.width
        channels = {"color": 3, "alpha": 1, "depth": 1, "median": 1, "normal": 3, "distortion": 1}
        images = [torch.empty(height, width, channel) for channel in channels.values()]
        state = np.empty((len(pairs.offsets) - 1, 4, 64), np.float32)
        run_chunks(
            tiling.blend,
            pairs.tile_bounds(),
            pairs.records.reshape(-1),
            pairs.boxes,
            pairs.offsets,
            pairs.pair_surfel,
            width,
            height,
            pairs.tiles_x,
            *(image.numpy() for image in images),
            state,
        )
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
        sums = np.empty((pairs.num_pairs, tiling.SUMS), np.float32)
        run_chunks(
            tiling.blend_backward,
            pairs.tile_bounds(),
            pairs.records.reshape(-1),
            pairs.boxes,
            pairs.offsets,
            pairs.pair_surfel,
            pairs.pair_slot,
            pairs.width,
            pairs.height,
            pairs.tiles_x,
            ctx.state,
            color,
            alpha,
            depth,
            normal,
            distortion,
            sums.reshape(-1),
        )
        results = [torch.empty(array.shape) for array in ctx.arrays]
        run_chunks(
            projecting.project_backward,
            even_bounds(len(means), 2048),
            means,
            quaternions,
            scales,
            pairs.camera,
            pairs.records,
            pairs.num_tiles,
            pairs.slots,
            sums,
            *(result.numpy() for result in results),
        )
        return (*results, None)
