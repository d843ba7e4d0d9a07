"""Start NVIDIA Warp without its banner and with a writable folder for compiled kernels."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

from sage_ns.system.cache import cache_dir, is_writable

_NO_DRIVER = "Warp CUDA warning: Could not find or load the NVIDIA CUDA driver"
_lock = threading.RLock()
_ready: set[tuple[str, str]] = set()


def prepare(kernels: ModuleType, device: torch.device) -> None:
    """Start Warp and compile or load a module's kernels for a device; later calls return at once.

    Warp keeps compiled kernels in the folder WARP_CACHE_PATH, or else in `warp` inside :func:`cache_dir`.
    """
    import warp as wp

    key = kernels.__name__, str(device)
    if key in _ready:
        return
    with _lock, _quietly():
        _start()
        wp.load_module(kernels, device=wp.device_from_torch(device))
        _ready.add(key)


def device_for(device: torch.device) -> torch.device:
    """Return the device on which Warp handles a device's tensors: the same one, or the CPU if Warp cannot use it.

    Warp cannot use devices other than the CPU and CUDA, nor CUDA devices whose driver is too old for it.
    """
    if device.type != "cuda":
        return torch.device("cpu")
    with _lock, _quietly():
        return device if _start() > 0 else torch.device("cpu")


def on_torch_stream(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which Warp uses torch's current stream of this device: in torch's order, without waiting."""
    import warp as wp

    if device.type != "cuda":
        return nullcontext()
    return wp.ScopedStream(wp.stream_from_torch(torch.cuda.current_stream(device)), sync_enter=False)


@cache
def _start() -> int:
    """Initialise Warp once; returns the number of CUDA devices that it finds."""
    import warp as wp

    given = os.environ.get("WARP_CACHE_PATH")
    if wp.config.kernel_cache_dir is None and not (given and is_writable(Path(given))):
        wp.config.kernel_cache_dir = str(cache_dir() / "warp")
    with _without_driver_warning():
        wp.init()
    return wp.get_cuda_device_count()


@contextmanager
def _quietly() -> Iterator[None]:
    """Limit Warp's own log to warnings and errors."""
    import warp as wp

    before = wp.config.log_level
    wp.config.log_level = max(before, wp.LOG_WARNING)
    try:
        yield
    finally:
        wp.config.log_level = before


@contextmanager
def _without_driver_warning() -> Iterator[None]:
    """Drop the line that Warp's library writes directly to standard error on every machine without CUDA."""
    with tempfile.TemporaryFile() as kept:
        try:
            stderr = os.dup(2)
        except OSError:  # a process without standard error
            yield
            return
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            kept.seek(0)
            for line in kept.read().splitlines(keepends=True):
                if not line.startswith(_NO_DRIVER.encode()):
                    os.write(stderr, line)
            os.close(stderr)
