"""A page in the Chromium (or Chrome) of this machine, driven by playwright, which downloads no browser of its own."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu"),
    # WebGL without a graphics card
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    # nothing that asks the internet
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"),
    "--disable-quic",
)


def find_chromium() -> str | None:
    """Path of a Chromium (or Chrome) on this machine."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def _missing() -> str | None:
    if find_spec("playwright") is None:
        return "needs playwright"
    return None if find_chromium() is not None else f"needs one of {', '.join(NAMES)} on the PATH"


needs_browser = pytest.mark.skipif(_missing() is not None, reason=_missing() or "")
"""Marks tests that call :func:`browser_page`."""


@contextmanager
def browser_page(address: str, size: tuple[int, int] = (900, 700)) -> Iterator[Page]:
    """The page at ``address``, ``size`` pixels wide and high, in a browser of its own with a new profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS), timeout=1000 * PATIENCE)
        page = browser.new_page(viewport={"width": size[0], "height": size[1]}, device_scale_factor=1)
        page.set_default_timeout(1000 * PATIENCE)
        page.goto(address)
        yield page
        browser.close()


def screenshot(page: Page) -> np.ndarray:
    """The page as [h, w, 3] uint8."""
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
