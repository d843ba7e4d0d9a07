"""Super-resolution in training: training pictures and their cameras grow, everything else keeps its size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sage_ns.capture.enlarged import FOLDER
from sage_ns.errors import SageError
from sage_ns.image.super_resolution import Bicubic
from sage_ns.plugin.cameras import pinhole_camera
from sage_ns.plugin.datamanager import CaptureDatamanagerConfig
from sage_ns.plugin.dataparser import FlameCaptureDataParserConfig
from sage_ns.raster.cameras import project
from tests.image.networks import write_compact
from tests.tiny_capture import write_tiny_capture


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_capture(tmp_path_factory.mktemp("capture"), num_cameras=4, width=24, height=32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / FOLDER


def build(capture: Path, training: bool = True, **given: Any) -> Any:
    config = CaptureDatamanagerConfig(data=capture, dataparser=FlameCaptureDataParserConfig(**given))
    return config.setup(device="cpu", training=training)


def test_the_training_pictures_grow_after_the_downscale(capture: Path, cache: Path) -> None:
    plain = build(capture, downscale_factor=2)
    large = build(capture, downscale_factor=2, super_resolution="bicubic")
    for step in range(3):
        (_, before), (camera, batch) = plain.next_train(step), large.next_train(step)
        assert batch["image_idx"] == before["image_idx"]
        assert batch["image"].shape == (32, 24, 3) and batch["mask"].shape == (32, 24, 1)
        assert (int(camera.width), int(camera.height)) == (24, 32)
        torch.testing.assert_close(batch["image"], Bicubic(2)(before["image"]), atol=1 / 255, rtol=0)
        torch.testing.assert_close(batch["mask"], Bicubic(2)(before["mask"]), atol=1 / 255, rtol=0)
    assert len(list(cache.iterdir())) == 3
    assert large.shot(0).picture.shape == (32, 24, 3)


def test_a_point_falls_on_the_same_place_of_the_picture(capture: Path) -> None:
    point = torch.tensor([[0.03, -0.02, 0.05]])
    plain, large = (build(capture, super_resolution=name).train_dataset.cameras for name in ("none", "bicubic-3"))
    for index in range(len(plain)):
        before, after = (project(point, pinhole_camera(each[index : index + 1])).pixels for each in (plain, large))
        torch.testing.assert_close(after, 3 * before)


def test_held_out_pictures_keep_their_size(capture: Path) -> None:
    manager = build(capture, super_resolution="bicubic")
    for split in ("val", "test"):
        for camera, batch in manager.evaluation_pairs(split):
            assert batch["image"].shape == (32, 24, 3) and int(camera.width) == 24
    assert manager.next_eval_image(0)[1]["image"].shape == (32, 24, 3)


def test_a_second_training_reads_what_the_first_has_made(
    capture: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("spandrel")
    from sage_ns.image.super_resolution_network import NetworkUpscaler

    weights = write_compact(tmp_path / "weights.pth", size=0.1)
    first = build(capture, super_resolution=str(weights)).next_train(0)[1]["image"]
    assert first.shape == (64, 48, 3) and len(list(cache.iterdir())) == 3

    def refused(*_: Any) -> None:
        raise AssertionError("the network ran again")

    monkeypatch.setattr(NetworkUpscaler, "__call__", refused)
    assert torch.equal(build(capture, super_resolution=str(weights)).next_train(0)[1]["image"], first)


def test_looking_at_a_run_needs_neither_weights_nor_time(capture: Path, cache: Path) -> None:
    manager = build(capture, training=False, super_resolution="weights_that_are_gone.pth")
    assert manager.next_train(0)[1]["image"].shape == (32, 24, 3) and not cache.exists()


def test_weights_that_do_not_exist_are_refused_before_a_picture_is_read(capture: Path, cache: Path) -> None:
    with pytest.raises(SageError, match=r"nowhere.pth: no such file"):
        build(capture, super_resolution="nowhere.pth")
    assert not cache.exists()
