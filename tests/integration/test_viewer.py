from __future__ import annotations

import time
import types
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nerfstudio.configs.base_config import ViewerConfig
from nerfstudio.scripts.viewer import run_viewer
from nerfstudio.utils.eval_utils import eval_setup
from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO, Viewer

from tests.integration.browser import Browser, find_chromium, wait_for
from tests.integration.commands import start_program
from tests.integration.conftest import Run

OUTPUTS = ("rgb", "depth", "normal", "accumulation", "distortion")


class Started(Exception):
    """The viewer is up; from here it would wait for ever."""


@pytest.fixture
def viewer(tiny_run: Run, port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """Pipeline and viewer as ns-viewer has them when it begins to wait."""
    made: list[Any] = []
    build = Viewer
    monkeypatch.setattr(
        run_viewer, "ViewerState", lambda *args, **kwargs: made.append(build(*args, **kwargs)) or made[0]
    )

    def wait(seconds: float) -> None:
        raise Started

    monkeypatch.setattr(run_viewer, "time", types.SimpleNamespace(sleep=wait))
    config, pipeline, _, step = eval_setup(tiny_run.config, test_mode="test")
    config.vis = "viewer"
    config.viewer = ViewerConfig(websocket_port=port, websocket_host="127.0.0.1")
    with pytest.raises(Started):
        run_viewer._start_viewer(config, pipeline, step)
    yield pipeline, made[0]
    made[0].viser_server.stop()


def test_viewer_has_a_time_slider_and_all_training_cameras(viewer: tuple[Any, Any]) -> None:
    pipeline, state = viewer
    assert state.include_time
    assert len(state.camera_handles) == len(pipeline.datamanager.train_dataset)
    loaded = {"cached_train", "cached_eval"} & set(vars(pipeline.datamanager))
    assert not loaded, "opening the viewer must not load all pictures"


def test_viewer_opens_in_front_of_the_face(viewer: tuple[Any, Any]) -> None:
    pipeline, _ = viewer
    camera = types.SimpleNamespace(fov=1.0, position=None, look_at=None, up_direction=None)
    client = types.SimpleNamespace(camera=camera, atomic=lambda: pytest.MonkeyPatch.context())
    pipeline.front_view._show_face(client)
    toward = (np.asarray(camera.position) - np.asarray(camera.look_at)) / VISER_NERFSTUDIO_SCALE_RATIO
    # But for what the refinement of its tracking turns it by.
    assert toward[2] > 0.2 and np.abs(toward[:2]).max() < 0.05, "the tiny head looks along +z"
    vertices = pipeline.model.rig.vertices(pipeline.model.motion.at_time(0.0))
    assert np.allclose(np.asarray(camera.look_at) / VISER_NERFSTUDIO_SCALE_RATIO, vertices.mean(0).numpy(), atol=0.02)
    assert camera.up_direction == (0.0, 1.0, 0.0)


def test_outputs_of_viewer_cameras_are_images(tiny_run: Run) -> None:
    from nerfstudio.cameras.cameras import Cameras

    model: Any = eval_setup(tiny_run.config, test_mode="test")[1].model
    pose = torch.eye(4)[:3]
    pose[2, 3] = 0.6
    # As the viewer makes them: a time, the number of the last clicked camera, integer sizes, no motion.
    camera = Cameras(pose[None], 40.0, 40.0, 16.0, 12.0, width=32, height=24, times=torch.tensor([[0.5]]))
    camera.metadata = {"cam_idx": 0}
    outputs = model.get_outputs_for_camera(camera)
    for name in OUTPUTS:
        assert outputs[name].shape[:2] == (24, 32) and outputs[name].shape[2] in (1, 3)
        assert torch.isfinite(outputs[name]).all()
    camera.camera_to_worlds[0, 2, 3] = -5.0  # looks away: nothing to see, nothing to fail
    outputs = model.get_outputs_for_camera(camera)
    assert torch.equal(outputs["rgb"], model.background.expand(24, 32, 3))
    assert all(torch.isfinite(outputs[name]).all() for name in OUTPUTS)


def test_ns_viewer_plays_the_avatar_in_a_browser_without_its_capture(
    capture_gone: Run, tmp_path: Path, port: int
) -> None:
    program = find_chromium()
    if program is None:
        pytest.skip("no chromium on this machine")
    address = f"http://127.0.0.1:{port}"
    printed = tmp_path / "printed.txt"
    viewer = start_program(
        *("ns-viewer", "--load-config", capture_gone.config),
        *("--viewer.websocket-port", port, "--viewer.websocket-host", "127.0.0.1"),
        cwd=tmp_path,
        output=printed,
    )
    try:
        wait_for(lambda: viewer.poll() is not None or _answers(address), "ns-viewer")
        assert viewer.poll() is None, printed.read_text()
        with Browser(program, tmp_path / "profile", address) as browser:
            _play(browser)
    finally:
        viewer.terminate()
        viewer.wait(timeout=20)
    # (nerfstudio interrupts renders by exceptions of its own, which may surface as "Exception ignored in".)
    assert "Exception in thread" not in printed.read_text()
    assert "is gone; going on with what the run has kept" in printed.read_text()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address) as answer:
            return answer.status == 200
    except OSError:
        return False


def _play(browser: Browser) -> None:
    """Waits for the avatar, then uses the time slider and the choice of buffers."""
    wait_for(
        lambda: browser.evaluate(r"/Resolution: (512\D|\d+\D512px)/.test(document.body.innerText)"), "a fine picture"
    )
    first = _settled(browser, "the avatar", _shows_the_avatar)

    slider = '//*[text()="Time"]/following::*[@role="slider"][1]'
    find = f"document.evaluate('{slider}', document, null, 9).singleNodeValue"
    assert browser.evaluate(f"{find}.getAttribute('aria-valuemax')") == "1"
    browser.evaluate(f"{find}.focus()")
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
    """The part of the page that shows the avatar, once it meets a condition and has stopped changing."""
    last, since = np.zeros((1, 1, 3), np.uint8), time.monotonic()

    def ask() -> bool:
        nonlocal last, since
        canvas = browser.screenshot()[60:, :560]
        if canvas.shape != last.shape or not np.array_equal(canvas, last):
            last, since = canvas, time.monotonic()
        return time.monotonic() - since > 0.5 and condition(canvas)

    wait_for(ask, what)
    return last


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean difference of averages over blocks: the viewer draws coarsely first, and not always finely later."""

    def blocks(canvas: np.ndarray, side: int = 40) -> np.ndarray:
        height, width = (size // side for size in canvas.shape[:2])
        canvas = canvas[: height * side, : width * side].astype(float)
        return canvas.reshape(height, side, width, side, 3).mean(axis=(1, 3))

    return float(np.abs(blocks(a) - blocks(b)).mean())
