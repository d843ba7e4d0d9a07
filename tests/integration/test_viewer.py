from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.configs.base_config import ViewerConfig
from nerfstudio.scripts.viewer import run_viewer
from nerfstudio.utils.eval_utils import eval_setup
from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO, Viewer

from tests.integration.conftest import NUM_STEPS, Run, free_port, running_viewer
from tests.integration.viewer_page import ViewerPage
from tests.waiting import wait_for

OUTPUTS = ("rgb", "depth", "normal", "accumulation", "distortion")


class Started(Exception):
    """The viewer is up; from here it would wait for ever."""


@pytest.fixture(scope="module")
def viewer(tiny_run: Run) -> Iterator[tuple[Any, Any]]:
    """Pipeline and viewer as ns-viewer has them when it begins to wait."""
    made: list[Any] = []

    def build(*arguments: Any, **options: Any) -> Viewer:
        made.append(Viewer(*arguments, **options))
        return made[0]

    def wait(seconds: float) -> None:
        raise Started

    config, loaded, _, step = eval_setup(tiny_run.config, test_mode="test")
    pipeline: Any = loaded
    config.vis = "viewer"
    config.viewer = ViewerConfig(websocket_port=free_port(), websocket_host="127.0.0.1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_viewer, "ViewerState", build)
        patch.setattr(run_viewer, "time", types.SimpleNamespace(sleep=wait))
        with pytest.raises(Started):
            run_viewer._start_viewer(config, pipeline, step)
    yield pipeline, made[0]
    pipeline.puppet_panel.close()
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


def test_the_panel_moves_what_the_viewer_draws_and_nothing_else(viewer: tuple[Any, Any]) -> None:
    pipeline, state = viewer
    panel, model = pipeline.puppet_panel, pipeline.model
    picture, _ = pipeline.datamanager.evaluation_pairs("test")[0]
    seen = model.get_outputs_for_camera(picture)["rgb"]
    camera = viewer_camera()
    before = state.get_model().get_outputs_for_camera(camera)["rgb"]
    panel.puppet.source, panel.puppet.values = "manual", {"Jaw open": 30.0, "Head turn": 60.0}
    panel.shown.background = torch.tensor([0.0, 1.0, 0.0])
    after = state.get_model().get_outputs_for_camera(camera)["rgb"]
    assert torch.equal(after[0, 0], torch.tensor([0.0, 1.0, 0.0]))
    assert (after - before).abs().mean() > 0.05
    assert torch.equal(model.get_outputs_for_camera(picture)["rgb"], seen), "pictures of a capture have moments"


def test_the_panel_says_how_long_was_trained(viewer: tuple[Any, Any]) -> None:
    _, state = viewer
    wait_for(lambda: f"Step: {NUM_STEPS} " in state.stats_markdown.content, "the number of steps")
    assert not state.pause_train.visible


def viewer_camera() -> Any:
    """As the viewer makes them: a time, the number of the last clicked camera, integer sizes, no motion."""
    pose = torch.eye(4)[:3]
    pose[2, 3] = 0.6
    camera = Cameras(pose[None], 40.0, 40.0, 16.0, 12.0, width=32, height=24, times=torch.tensor([[0.5]]))
    camera.metadata = {"cam_idx": 0}
    return camera


def test_outputs_of_viewer_cameras_are_images(tiny_run: Run) -> None:
    model: Any = eval_setup(tiny_run.config, test_mode="test")[1].model
    camera = viewer_camera()
    outputs = model.get_outputs_for_camera(camera)
    for name in OUTPUTS:
        assert outputs[name].shape[:2] == (24, 32) and outputs[name].shape[2] in (1, 3)
        assert torch.isfinite(outputs[name]).all()
    camera.camera_to_worlds[0, 2, 3] = -5.0  # looks away: nothing to see, nothing to fail
    outputs = model.get_outputs_for_camera(camera)
    assert torch.equal(outputs["rgb"], model.background.expand(24, 32, 3))
    assert all(torch.isfinite(outputs[name]).all() for name in OUTPUTS)


def test_ns_viewer_plays_the_avatar_without_its_capture(capture_gone: Run, tmp_path: Path, port: int) -> None:
    with running_viewer(capture_gone, tmp_path, port) as printed:
        for play in (_play, _puppeteer):
            with ViewerPage(port) as page:
                play(page)
    for wrong in ("Exception in thread", "Exception ignored", "could not draw"):
        assert wrong not in printed.read_text()
    assert "is gone; going on with what the run has kept" in printed.read_text()


def _play(page: ViewerPage) -> None:
    """Waits for the avatar, then uses the time slider and the choice of buffers."""
    first = page.picture("the avatar", _shows_the_avatar)
    assert page.control("Time")["max"] == 1
    page.set("Time", 1.0)
    end = page.picture("time 1", lambda picture: _distance(picture, first) > 2)
    page.set("Time", 0.0)
    page.picture("time 0", lambda picture: _distance(picture, first) < _distance(end, first) / 2)

    assert set(OUTPUTS) <= set(page.control("Output type")["options"])
    before = first
    for name in (*OUTPUTS[1:], OUTPUTS[0]):
        page.set("Output type", name)
        before = page.picture(name, lambda picture, before=before: _distance(picture, before) > 5)
    assert _distance(before, first) < 1


def _puppeteer(page: ViewerPage) -> None:
    """Opens the jaw by hand, resets it, then plays the sequence, which moves without anybody's doing."""
    rest = page.picture("the avatar", _shows_the_avatar)
    jaw = page.control("Jaw open")
    page.set("Jaw open", jaw["max"])
    opened = page.picture("an open jaw", lambda picture: _distance(picture, rest) > 1)
    assert page.control("Motion")["value"] == "manual"
    page.set("Reset", True)
    page.picture("a closed jaw", lambda picture: _distance(picture, opened) > 1)
    assert page.control("Jaw open")["value"] == 0

    page.set("Motion", "driving sequence")
    start = page.picture("the first frame", _shows_the_avatar)
    page.set("Frame", page.control("Frame")["max"])
    end = page.picture("the last frame", lambda picture: _distance(picture, start) > 1)
    page.set("Frame", 0)
    page.picture("the first frame", lambda picture: _distance(picture, start) < _distance(end, start) / 2)
    page.set("Play", True, beside="Frames/s")
    wait_for(lambda: page.control("Frame")["value"] > 0, "a moving slider")
    page.set("Pause", True, beside="Frames/s")
    page.picture("a resting avatar", _shows_the_avatar)


def _shows_the_avatar(picture: np.ndarray) -> bool:
    """In the middle, before the capture's white background."""
    height, width = picture.shape[:2]
    return bool(picture[5:15, 5:15].min() > 250 and picture[height // 2, width // 2].min() < 200)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())
