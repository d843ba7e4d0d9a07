"""The page in a headless Chromium: it opens, it shows the head, and sliders, play and the camera change the picture."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.exchange.web.clip import make_clip
from sage_ns.exchange.web.content import web_content
from sage_ns.exchange.web.folder import write_folder
from sage_ns.exchange.web.library import WebLibraryError, find_library
from sage_ns.rig import FlameParams
from tests.integration.browser import browser_page, needs_browser, screenshot
from tests.waiting import wait_for

if TYPE_CHECKING:
    import playwright.sync_api

pytestmark = needs_browser

STAGE = (440, 480)
"""Pixels of the canvas; the panel beside it is 20 rem wide."""
PANEL = 300


@dataclass(frozen=True)
class Page:
    browser: playwright.sync_api.Page
    avatar: Avatar
    address: str

    def run(self, script: str) -> object:
        return self.browser.evaluate(script)

    def picture(self) -> np.ndarray:
        """The picture after all surfels are drawn and sorted, 0..1."""
        # Two checks in a row: at the first one, the page may not have processed a change yet.
        for _ in range(2):
            wait_for(lambda: self.run("window.viewer?.isSettled && viewer.stage.spark.activeSplats > 0"), "a picture")
            self.run("viewer.idle = 0")
        wait_for(lambda: self.run("viewer.isSettled"), "a picture")
        return screenshot(self.browser)[:, : STAGE[0]] / 255.0

    def reset(self) -> np.ndarray:
        self.run("document.getElementById('reset').click()")
        return self.picture()


@pytest.fixture(scope="module")
def page(builtin_head_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    root = tmp_path_factory.mktemp("web")
    with pytest.MonkeyPatch.context() as patch:
        # Tests do not download missing libraries.
        patch.setattr("sage_ns.exchange.web.library.shutil.which", lambda name: None)
        try:
            library = find_library(None, root)
        except WebLibraryError as error:
            pytest.skip(f"needs the page's libraries: {error}")
    clip = make_clip(builtin_head_avatar.motion.recorded())
    size = write_folder(root / "page", web_content(builtin_head_avatar, clip, 1), library)
    assert size < 10e6  # rig, page and libraries; 30,000 surfels are 1.6 MB
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "-d", str(root / "page"), str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/?still"
    wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "http.server")
    try:
        with browser_page(address, (STAGE[0] + PANEL, STAGE[1])) as browser:
            if not browser.evaluate("!!document.createElement('canvas').getContext('webgl2')"):
                pytest.skip("needs WebGL 2 in the browser")
            browser.wait_for_function("window.viewer && document.getElementById('reset')")
            yield Page(browser, builtin_head_avatar, address)
    finally:
        server.terminate()
        server.wait()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return -10 * math.log10(float(((a - b) ** 2).mean()))


def drawn(avatar: Avatar, motion: torch.Tensor) -> np.ndarray:
    """Our own rasteriser's picture, without the effects that the page leaves out."""
    look = replace(avatar.look, correction=False, wrinkles=0.0)
    buffers = avatar.draw(avatar.front_camera(*STAGE), motion, look)
    return buffers.composite(avatar.background).clamp(0, 1).numpy()


def test_the_picture_agrees_with_our_rasteriser(page: Page) -> None:
    expected = drawn(page.avatar, page.avatar.neutral().motion_vector()[0])
    found = page.reset()
    assert (found < 0.9).any(axis=-1).mean() > 0.1
    assert psnr(found, expected) > 45


def test_posed_surfels_agree_with_our_rasteriser(page: Page) -> None:
    page.reset()
    motion = page.avatar.neutral().motion_vector()[0]
    motion[FlameParams.NECK][1], motion[FlameParams.JAW][0] = 0.3, 0.25
    page.run("viewer.motion.setSlider('Turn', 0.3); viewer.motion.setSlider('Jaw open', 0.25)")
    assert psnr(page.picture(), drawn(page.avatar, motion)) > 45


@pytest.mark.parametrize("name", ["Jaw open", "Eyes aside", "Smile"])
def test_a_slider_changes_the_picture_and_reset_undoes_it(page: Page, name: str) -> None:
    before = page.reset()
    page.run(
        f"{{ const s = document.getElementById('{name}'); s.value = s.max; s.dispatchEvent(new Event('input')); }}"
    )
    moved = page.picture()
    changed = np.abs(moved - before).max(axis=-1) > 0.1
    assert changed.sum() > 30
    assert np.abs(page.reset() - before).mean() < 1e-3
    assert page.run(f"document.getElementById('{name}').valueAsNumber") == 0


def test_the_clip_plays_and_pauses(page: Page) -> None:
    before = page.reset()
    page.run("document.getElementById('play').click()")
    assert page.run("document.getElementById('play').textContent") == "Pause"
    wait_for(lambda: page.run("viewer.motion.position > 2"), "the clip to play")
    page.run("document.getElementById('play').click()")
    assert (np.abs(page.picture() - before).max(axis=-1) > 0.1).sum() > 100
    position = page.run("viewer.motion.position")
    page.picture()
    assert page.run("viewer.motion.position") == position
    page.reset()


def test_dragging_turns_the_head(page: Page) -> None:
    before = page.reset()
    mouse = page.browser.mouse
    mouse.move(200, 240)
    mouse.down()
    for x in (220, 260):
        mouse.move(x, 240)
    mouse.up()
    assert (np.abs(page.picture() - before).max(axis=-1) > 0.1).sum() > 100
    assert np.abs(page.reset() - before).mean() < 1e-3


def test_fewer_surfels_still_cover_the_head(page: Page) -> None:
    before = page.reset()
    page.run("viewer.surfels.thin(0.5); viewer.stage.isDirty = true")
    thinned = page.picture()
    page.run("viewer.surfels.thin(1); viewer.stage.isDirty = true")
    assert np.abs(thinned - before).mean() < 0.03
    covered = (before < 0.9).any(axis=-1)
    assert (thinned < 0.97).any(axis=-1)[covered].mean() > 0.97


def test_the_page_reports_missing_webgl(page: Page) -> None:
    browser = page.browser.context.browser
    assert browser is not None
    other = browser.new_page()
    other.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    other.goto(page.address)
    other.wait_for_function("document.getElementById('notice')?.textContent.includes('WebGL 2')")
    other.close()
