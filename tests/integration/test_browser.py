"""The viewer's page in a real browser, which takes minutes where no graphics card draws it.

What such a page is sent, test_viewer.py looks at without one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.integration.browser import Browser, find_chromium, wait_for
from tests.integration.conftest import Run, running_viewer


@pytest.mark.slow
@pytest.mark.parametrize("play", ["time_and_buffers", "puppeteer"])
def test_the_page_in_a_browser(play: str, capture_gone: Run, tmp_path: Path, port: int) -> None:
    program = find_chromium()
    if program is None:
        pytest.skip("no chromium on this machine")
    address = f"http://127.0.0.1:{port}"
    with running_viewer(capture_gone, tmp_path, port), Browser(program, tmp_path / "profile", address) as browser:
        _wait_for_a_fine_picture(browser)
        {"time_and_buffers": _time_and_buffers, "puppeteer": _puppeteer}[play](browser)


def _time_and_buffers(browser: Browser) -> None:
    """Uses the time slider and the choice of buffers."""
    _choose(browser, "rgb")
    _focus(browser, "Time")
    browser.press("Home", 36)
    first = _settled(browser, "the avatar", _shows_the_avatar)

    assert browser.evaluate(f"{_slider('Time')}.getAttribute('aria-valuemax')") == "1"
    _focus(browser, "Time")
    browser.press("End", 35)
    end = _settled(browser, "time 1", lambda canvas: _distance(canvas, first) > 2)
    browser.press("Home", 36)
    _settled(browser, "time 0", lambda canvas: _distance(canvas, first) < _distance(end, first) / 2)

    before = first
    for name in ("depth", "normal", "accumulation", "distortion"):
        _choose(browser, name)
        before = _settled(browser, name, lambda canvas, before=before: _distance(canvas, before) > 5)
    _choose(browser, "rgb")
    _settled(browser, "rgb", lambda canvas: _distance(canvas, first) < _distance(end, first) / 2)


def _wait_for_a_fine_picture(browser: Browser) -> None:
    fine = r"/Resolution: (512\D|\d+\D512px)/.test(document.body.innerText)"
    wait_for(lambda: browser.evaluate(fine), "a fine picture")


def _puppeteer(browser: Browser) -> None:
    """Opens the jaw by hand, resets it, then plays the sequence, which moves without anybody's doing."""
    _click(browser, "button", "Reset")
    _focus(browser, "Jaw open")
    closed = _settled(browser, "the avatar", _shows_the_avatar)
    browser.press("End", 35)
    opened = _settled(browser, "an open jaw", lambda canvas: _distance(canvas, closed) > 1)
    _click(browser, "button", "Reset")
    _settled(browser, "a closed jaw", lambda canvas: _distance(canvas, opened) > 1)
    assert browser.evaluate(f"{_slider('Jaw open')}.getAttribute('aria-valuenow')") == "0"

    _click(browser, "[role=tab]", "Sequence")
    _focus(browser, "Frame")
    start = _settled(browser, "the first frame", _shows_the_avatar)
    browser.press("End", 35)
    end = _settled(browser, "the last frame", lambda canvas: _distance(canvas, start) > 1)
    browser.press("Home", 36)
    _settled(browser, "the first frame", lambda canvas: _distance(canvas, end) > 1)
    _click(browser, "button", "Play")
    wait_for(lambda: _distance(_canvas(browser), start) > 0.5, "a moving avatar")
    wait_for(lambda: _distance(_canvas(browser), end) > 0.5, "a moving avatar")
    _click(browser, "button", "Pause")
    _settled(browser, "a resting avatar", _shows_the_avatar)


def _slider(label: str) -> str:
    path = f'//*[text()="{label}"]/following::*[@role="slider"][1]'
    return f"document.evaluate('{path}', document, null, 9).singleNodeValue"


def _focus(browser: Browser, label: str) -> None:
    wait_for(lambda: browser.evaluate(f"!!{_slider(label)}"), f"slider {label}")
    browser.evaluate(f"{_slider(label)}.focus()")


def _click(browser: Browser, kind: str, text: str) -> None:
    find = f'[...document.querySelectorAll("{kind}")].find(e => e.offsetParent && e.innerText.trim() === "{text}")'
    wait_for(lambda: browser.evaluate(f"!!{find}"), f"{kind} {text}")
    browser.evaluate(f"{find}.click()")


def _shows_the_avatar(canvas: np.ndarray) -> bool:
    """In the middle, before the capture's white background (the page is all white before it is all dark)."""
    height, width = canvas.shape[:2]
    return bool(canvas[5:15, 5:15].min() > 250 and canvas[height // 2, width // 2].min() < 200)


def _choose(browser: Browser, output: str) -> None:
    field = '//*[text()="Output type"]/following::input[1]'
    browser.evaluate(f"document.evaluate('{field}', document, null, 9).singleNodeValue.click()")
    option = f'[...document.querySelectorAll("[role=option]")].find(e => e.offsetParent && e.innerText === "{output}")'
    wait_for(lambda: browser.evaluate(f"!!{option}"), f"output {output}")
    browser.evaluate(f"{option}.click()")


def _settled(browser: Browser, what: str, condition: Callable[[np.ndarray], bool]) -> np.ndarray:
    """The part of the page that has the avatar, once it meets a condition and has stopped changing."""
    last, since = np.zeros((1, 1, 3), np.uint8), time.monotonic()

    def ask() -> bool:
        nonlocal last, since
        canvas = _canvas(browser)
        if canvas.shape != last.shape or not np.array_equal(canvas, last):
            last, since = canvas, time.monotonic()
        return time.monotonic() - since > 0.5 and condition(canvas)

    wait_for(ask, what)
    return last


def _canvas(browser: Browser) -> np.ndarray:
    return browser.screenshot()[60:, :560]


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean difference of averages over blocks: the viewer draws coarsely first, and not always finely later."""

    def blocks(canvas: np.ndarray, side: int = 40) -> np.ndarray:
        height, width = (size // side for size in canvas.shape[:2])
        canvas = canvas[: height * side, : width * side].astype(float)
        return canvas.reshape(height, side, width, side, 3).mean(axis=(1, 3))

    return float(np.abs(blocks(a) - blocks(b)).mean())
