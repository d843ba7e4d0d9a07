"""Shapes and types in annotations, checked at every call while tests run (jaxtyping's import hook with beartype)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

CHECKED_ROOMS = ("geometry", "raster", "motion")

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # whole numbers are floats, as type checkers have it


def check_shapes() -> None:
    """From now on, whatever is imported from those rooms is checked; to be called before anything is."""
    install_import_hook(checked_modules(), "tests.shapes.checked")


def checked_modules() -> list[str]:
    """Dotted names of the modules of those rooms, but for kernels: numba and Warp cannot compile the checks."""
    spec = find_spec("sage_ns")
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent
    files = sorted(file for room in CHECKED_ROOMS for file in (package / room).rglob("*.py"))
    return [
        ".".join(file.relative_to(package.parent).with_suffix("").parts)
        for file in files
        if file.name != "__init__.py" and not _holds_kernels(file.read_text(encoding="utf-8"))
    ]


def _holds_kernels(code: str) -> bool:
    return "njit" in code or "wp.kernel" in code
