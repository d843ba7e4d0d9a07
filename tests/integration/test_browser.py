"""The viewer's page in a real browser, which takes minutes where no graphics card draws it.

What such a page is sent, test_viewer.py looks at without one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.integration.browser import browser_page, needs_browser, screenshot
from tests.integration.conftest import Run, running_viewer
from tests.waiting import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("play", ["time_and_buffers", "puppeteer"])
def test_the_page_in_a_browser(play: str, capture_gone: Run, tmp_path: Path, port: int) -> None:
    with running_viewer(capture_gone, tmp_path, port), browser_page(f"http://127.0.0.1:{port}") as page:
        _wait_for_a_fine_picture(page)
        {"time_and_buffers": _time_and_buffers, "puppeteer": _puppeteer}[play](page)


def _wait_for_a_fine_picture(page: Page) -> None:
    page.wait_for_function(r"/Resolution: (512\D|\d+\D512px)/.test(document.body.innerText)")


def _time_and_buffers(page: Page) -> None:
    """Uses the time slider and the choice of buffers."""
    _choose(page, "rgb")
    time_slider = _slider(page, "Time")
    time_slider.press("Home")
    first = _settled(page, "the avatar", _shows_the_avatar)

    assert time_slider.get_attribute("aria-valuemax") == "1"
    time_slider.press("End")
    end = _settled(page, "time 1", lambda canvas: _distance(canvas, first) > 2)
    time_slider.press("Home")
    _settled(page, "time 0", lambda canvas: _distance(canvas, first) < _distance(end, first) / 2)

    before = first
    for name in ("depth", "normal", "accumulation", "distortion"):
        _choose(page, name)
        before = _settled(page, name, lambda canvas, before=before: _distance(canvas, before) > 5)
    _choose(page, "rgb")
    _settled(page, "rgb", lambda canvas: _distance(canvas, first) < _distance(end, first) / 2)


def _puppeteer(page: Page) -> None:
    """Opens the jaw by hand, resets it, then plays the sequence, which moves on its own."""
    _button(page, "Reset").click()
    jaw = _slider(page, "Jaw open")
    jaw.focus()
    closed = _settled(page, "the avatar", _shows_the_avatar)
    jaw.press("End")
    opened = _settled(page, "an open jaw", lambda canvas: _distance(canvas, closed) > 1)
    _button(page, "Reset").click()
    _settled(page, "a closed jaw", lambda canvas: _distance(canvas, opened) > 1)
    assert jaw.get_attribute("aria-valuenow") == "0"

    page.get_by_role("tab", name="Sequence").click()
    frame = _slider(page, "Frame")
    frame.focus()
    start = _settled(page, "the first frame", _shows_the_avatar)
    frame.press("End")
    end = _settled(page, "the last frame", lambda canvas: _distance(canvas, start) > 1)
    frame.press("Home")
    _settled(page, "the first frame", lambda canvas: _distance(canvas, end) > 1)
    _button(page, "Play").click()
    wait_for(lambda: _distance(_canvas(page), start) > 0.5, "a moving avatar")
    wait_for(lambda: _distance(_canvas(page), end) > 0.5, "a moving avatar")
    _button(page, "Pause").click()
    _settled(page, "a resting avatar", _shows_the_avatar)


def _slider(page: Page, label: str) -> Locator:
    return page.locator(f'xpath=//*[text()="{label}"]/following::*[@role="slider"][1]')


def _button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True).first


def _shows_the_avatar(canvas: np.ndarray) -> bool:
    """In the middle, before the capture's white background (the page is all white before it is all dark)."""
    height, width = canvas.shape[:2]
    return bool(canvas[5:15, 5:15].min() > 250 and canvas[height // 2, width // 2].min() < 200)


def _choose(page: Page, output: str) -> None:
    page.locator('xpath=//*[text()="Output type"]/following::input[1]').click()
    page.get_by_role("option", name=output, exact=True).click()


def _settled(page: Page, what: str, condition: Callable[[np.ndarray], bool]) -> np.ndarray:
    """The part of the page that has the avatar, once it meets a condition and has stopped changing."""
    last, since = np.zeros((1, 1, 3), np.uint8), time.monotonic()

    def ask() -> bool:
        nonlocal last, since
        canvas = _canvas(page)
        if canvas.shape != last.shape or not np.array_equal(canvas, last):
            last, since = canvas, time.monotonic()
        return time.monotonic() - since > 0.5 and condition(canvas)

    wait_for(ask, what)
    return last


def _canvas(page: Page) -> np.ndarray:
    return screenshot(page)[60:, :560]


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean difference of averages over blocks: the viewer draws coarsely first, and not always finely later."""

    def blocks(canvas: np.ndarray, side: int = 40) -> np.ndarray:
        height, width = (size // side for size in canvas.shape[:2])
        canvas = canvas[: height * side, : width * side].astype(float)
        return canvas.reshape(height, side, width, side, 3).mean(axis=(1, 3))

    return float(np.abs(blocks(a) - blocks(b)).mean())
