"""Shared fixtures: markers that skip with a reason, and where the optional real captures are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # one process per core; torch reads this when it is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping
import pytest

from tests.shapes import check_shapes

check_shapes()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="also run tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "slow" in item.keywords and not config.getoption("--run-slow"):
            item.add_marker(pytest.mark.skip(reason="slow test: give --run-slow"))
        if "gpu" in item.keywords and not _cuda():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture
def shapes_unchecked() -> Iterator[None]:
    """For tests that give a function what its annotations forbid, to see the function's own error."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the optional real captures; tests that ask for it skip where it is absent."""
    root = Path(os.environ.get("SAGE_SHARED", Path(__file__).parents[2] / "shared"))
    if not (root / "captures" / "fk01" / "transforms.json").is_file():
        pytest.skip(f"no captures under {root} (set SAGE_SHARED)")
    return root
