"""Running kernels on threads, and operators that free what they keep for the backward pass."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch

from sage_ns.avatar.placement import place_surfels
from sage_ns.geometry import TriangleFrames
from sage_ns.geometry.spherical_harmonics import sh_colors
from sage_ns.image import ssim
from sage_ns.raster import PinholeCamera, Surfels, normal_from_depth, rasterize
from sage_ns.system.parallel import cores_for_kernels, even_bounds, num_threads, run_chunks, scratch


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sage_ns.system.parallel.num_threads", lambda: request.param)
    return request.param


@pytest.mark.parametrize("num_items", [0, 1, 7, 1000])
def test_every_item_is_visited_once(threads: int, num_items: int):
    visits = np.zeros(num_items, int)

    def kernel(start: int, stop: int, visits: np.ndarray) -> None:
        visits[start:stop] += 1

    bounds = even_bounds(num_items, 2)
    run_chunks(kernel, bounds, visits)
    assert (visits == 1).all()
    assert bounds[0] == 0 and bounds[-1] == num_items
    assert all(stop - start >= 2 for start, stop in itertools.pairwise(bounds)) or len(bounds) == 2


def test_exceptions_of_kernels_are_raised(threads: int):
    def kernel(start: int, stop: int) -> None:
        raise ValueError(f"chunk {start}")

    with pytest.raises(ValueError, match="chunk"):
        run_chunks(kernel, [0, 1, 2, 3, 4])


def test_scratch_memory_is_reused_and_belongs_to_its_thread():
    first = scratch("test", (10, 4))
    assert np.shares_memory(first, scratch("test", (5, 2)))
    assert scratch("test", (100, 4)).shape == (100, 4)
    others: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: others.append(scratch("test", (100, 4))))
    thread.start()
    thread.join()
    assert not np.shares_memory(others[0], scratch("test", (100, 4)))


def draw(leaf: torch.Tensor) -> object:
    num = len(leaf)
    surfels = Surfels(leaf, torch.ones(num, 4), torch.ones(num, 2), torch.ones(num), torch.ones(num, 3))
    return rasterize(surfels, PinholeCamera(torch.eye(4), torch.eye(3), 8, 8), "numba")


OPERATORS: dict[str, Callable[[torch.Tensor], object]] = {
    "rasterize": draw,
    "ssim": lambda leaf: ssim(leaf[..., None], torch.ones(4, 3, 1)),
    "sh_colors": lambda leaf: sh_colors(torch.ones(4, 4, 3), leaf, torch.zeros(3)),
    "normal_from_depth": lambda leaf: normal_from_depth(
        leaf[..., None], PinholeCamera(torch.eye(4), torch.eye(3), 3, 4)
    ),
    "place_surfels": lambda leaf: place_surfels(
        leaf,
        torch.ones(4, 4),
        torch.ones(4, 2),
        torch.ones(4),
        torch.zeros(4, dtype=torch.int64),
        TriangleFrames(torch.zeros(1, 3), torch.eye(3)[None], torch.ones(1)),
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_graphs_are_freed_without_the_garbage_collector(name: str):
    gc.collect()
    gc.disable()
    try:
        leaf = torch.ones(4, 3, requires_grad=True)
        alive = weakref.ref(leaf)
        result = OPERATORS[name](leaf)
        del leaf
        assert alive() is not None
        del result
        assert alive() is None
    finally:
        gc.enable()


def test_torch_leaves_the_cores_to_the_kernels_and_gets_them_back() -> None:
    torch_before, kernels_before = torch.get_num_threads(), num_threads()
    with cores_for_kernels():
        assert torch.get_num_threads() == 1
        assert num_threads() == kernels_before
    assert torch.get_num_threads() == torch_before
    assert num_threads() == kernels_before
