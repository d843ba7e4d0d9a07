"""numba's compiler, with a folder for compiled kernels that can be written. Kernel modules import ``njit`` from here.

numba stores compiled kernels in NUMBA_CACHE_DIR, or else beside the source files; a module fails to load if it can
write to neither.
"""

from __future__ import annotations

import os
from pathlib import Path

from sage_ns.system.cache import KERNELS, cache_dir, is_writable

_PACKAGE = Path(__file__).parents[1]


def choose_kernel_folder(package: Path = _PACKAGE) -> None:
    """Set NUMBA_CACHE_DIR to ``numba`` in :func:`cache_dir`, unless it, or the source files' folders, can be written.

    Args:
        package: folder with the source files of the kernels.

    Raises:
        SageError: no folder can be written, not even a temporary one.
    """
    given = os.environ.get(KERNELS)
    if given:
        usable = is_writable(Path(given))
    else:
        usable = all(_is_usable(folder) for folder in {file.parent for file in package.rglob("_numba_*.py")})
    if usable:
        return
    folder = cache_dir() / "numba"
    os.environ[KERNELS] = str(folder)
    import numba.core.config as config

    setattr(config, "CACHE_DIR", str(folder))  # noqa: B010  # numba has read the environment already if it was imported before


def _is_usable(folder: Path) -> bool:
    """Return whether compiled kernels can be stored beside the source files, and read by this user."""
    stored = folder / "__pycache__"
    return is_writable(stored) and all(os.access(file, os.R_OK) for file in stored.glob("_numba_*.nb?"))


choose_kernel_folder()

from numba import njit  # noqa: E402  (numba reads the environment when it is imported)

__all__ = ["choose_kernel_folder", "njit"]
