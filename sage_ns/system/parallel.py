"""Run compiled kernels on several threads. The kernels release the GIL, so plain Python threads are enough."""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch

_CHUNKS_PER_THREAD = 4
_pool: ThreadPoolExecutor | None = None
_pool_size = 0
_kernel_threads: int | None = None
_scratch = threading.local()


def num_threads() -> int:
    """Number of threads for kernels: torch's setting (`torch.set_num_threads`, OMP_NUM_THREADS), at most numba's."""
    import numba

    if _kernel_threads is not None:
        return _kernel_threads
    return max(1, min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]


@contextmanager
def cores_for_kernels() -> Iterator[None]:
    """Run torch's own operations on one thread, and kernels on as many threads as before.

    Torch's idle threads spin for a while after each operation and occupy the cores that the kernels need next.
    Torch's operations on some ten thousand surfels are too small to gain from threads; without this function a
    training step wastes a fifth of its time.
    """
    global _kernel_threads
    before, kernels_before = torch.get_num_threads(), _kernel_threads
    _kernel_threads = num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _kernel_threads = kernels_before


def even_bounds(num_items: int, smallest: int = 1) -> list[int]:
    """Borders that cut `num_items` into about equal chunks, each at least `smallest` long unless there is only one."""
    threads = num_threads()
    chunks = 1 if threads == 1 else max(1, min(threads * _CHUNKS_PER_THREAD, num_items // smallest))
    return [num_items * chunk // chunks for chunk in range(chunks + 1)]


def run_chunks(kernel: Callable[..., None], bounds: Sequence[int], *arguments: object) -> None:
    """Call kernel(start, stop, *arguments) for every two neighbouring bounds, on all threads, and wait.

    Kernels must release the GIL and write to separate places. The first exception of a kernel is raised again.
    """
    pieces = [(start, stop) for start, stop in itertools.pairwise(bounds) if stop > start]
    threads = min(num_threads(), len(pieces))
    if threads <= 1:
        for start, stop in pieces:
            kernel(start, stop, *arguments)
        return
    remaining = iter(pieces)

    def work() -> None:
        # Each thread takes the next piece when it is free; `next` on a list's iterator is atomic under the GIL.
        for start, stop in remaining:
            kernel(start, stop, *arguments)

    helpers = [_shared_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        # Cancel helpers that have not started yet: no pieces are left for them.
        errors = [helper.exception() for helper in helpers if not helper.cancel()]
    for error in errors:
        if error is not None:
            raise error


def scratch(name: str, shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Return uninitialised memory, valid until the next call with this name on this thread; do not pass it to callers.

    For new arrays of several megabytes, page faults cost more time than many kernels take.
    """
    size = math.prod(shape)
    buffers: dict[str, np.ndarray] = _scratch.__dict__
    buffer = buffers.get(name)
    if buffer is None or len(buffer) < size or buffer.dtype != dtype:
        buffer = buffers[name] = np.empty(size, dtype)
    return buffer[:size].reshape(shape)


def _shared_pool(size: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    if _pool is None or _pool_size < size:
        _pool = ThreadPoolExecutor(size, thread_name_prefix="sage-kernel")
        _pool_size = size
    return _pool


def _drop_pool() -> None:
    global _pool
    _pool = None


# Threads do not survive a fork; a child starts its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_pool)
