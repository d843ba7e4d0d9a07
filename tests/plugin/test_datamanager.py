from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from PIL import Image

from sage_ns.errors import CaptureError
from sage_ns.plugin import datamanager as module
from sage_ns.plugin.datamanager import CaptureDatamanager, CaptureDatamanagerConfig
from sage_ns.plugin.dataparser import FlameCaptureDataParserConfig
from sage_ns.rig import FlameParams
from tests.tiny_capture import edit_frames, write_tiny_capture, write_transforms

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_capture(tmp_path_factory.mktemp("capture"), num_cameras=4, width=24, height=32)


def build(capture: Path, seed: int = 42, **given: Any) -> Any:
    options = {name: given.pop(name) for name in ("test_mode", "training") if name in given}
    config = CaptureDatamanagerConfig(
        data=capture, dataparser=FlameCaptureDataParserConfig(**given), train_cameras_sampling_seed=seed
    )
    return config.setup(device="cpu", **options)


def timesteps(cameras: Cameras) -> list[int]:
    assert cameras.metadata is not None
    return cameras.metadata["timestep"][:, 0].tolist()


def order(manager: CaptureDatamanager, steps: range) -> list[int]:
    return [manager.next_train(step)[1]["image_idx"] for step in steps]


def test_every_epoch_shows_every_picture_once_in_another_order(capture: Path) -> None:
    manager = build(capture, frames="multi")
    count = len(manager.train_dataset)
    assert count == 9  # 3 training timesteps, 3 of 4 cameras
    epochs = [order(manager, range(start, start + count)) for start in (0, count, 2 * count)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_picture_of_a_step_depends_on_seed_and_step_alone(capture: Path) -> None:
    one, other = build(capture, frames="multi"), build(capture, frames="multi")
    whole = order(one, range(30))
    assert order(other, range(17, 30)) == whole[17:]
    assert order(build(capture, seed=7, frames="multi"), range(30)) != whole


def test_camera_and_picture_belong_together(capture: Path) -> None:
    manager = build(capture, frames="multi")
    outputs = manager.train_dataparser_outputs
    for step in range(9):
        camera, batch = manager.next_train(step)
        index = batch["image_idx"]
        assert camera.shape == (1,) and camera.metadata["cam_idx"] == index
        assert torch.equal(camera.metadata["motion"][0], outputs.cameras.metadata["motion"][index])
        assert torch.equal(camera.camera_to_worlds[0], outputs.cameras.camera_to_worlds[index])
        assert batch["image"].shape == (32, 24, 3) and batch["mask"].shape == (32, 24, 1)
        assert batch["image"].dtype == batch["mask"].dtype == torch.float32
        assert batch["image"].min() >= 0 and batch["image"].max() <= 1


def test_what_hides_the_head_does_not_count(capture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "capture"
    shutil.copytree(capture, folder)
    pixels = np.zeros((32, 24), dtype=np.uint8)
    pixels[20:, 4:] = 255
    Image.fromarray(pixels).save(folder / "hidden.png")
    for name in folder.glob("transforms*.json"):
        edit_frames(name, hidden_path="hidden.png")
    expected = 1 - torch.from_numpy(pixels[::2, ::2])[..., None].float() / 255
    manager = build(folder, downscale_factor=2)
    shot, view = manager.shot(0), manager.registered_views()[0]
    assert not shot.is_pseudo and not view.is_pseudo
    for counts in (shot.confidence, view.confidence, view.steady):
        torch.testing.assert_close(counts, expected)
    assert build(capture).shot(0).confidence is None


def test_changing_a_batch_does_not_change_the_cache(capture: Path) -> None:
    manager = build(capture)
    camera, batch = manager.next_train(0)
    before = {name: value.clone() for name, value in batch.items() if isinstance(value, torch.Tensor)}
    batch.clear()
    camera.metadata.clear()
    again = manager.next_train(0)[1]
    assert all(torch.equal(again[name], value) for name, value in before.items())
    assert "motion" in manager.next_train(0)[0].metadata


def test_large_captures_are_kept_as_bytes_and_served_as_floats(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    floats = build(capture)
    assert floats.cached_train[0]["image"].dtype == torch.float32
    monkeypatch.setattr(module, "FLOAT_CACHE_BYTES", 1000)
    small = build(capture)
    assert small.cached_train[0]["image"].dtype == torch.uint8
    for step in range(3):
        a, b = floats.next_train(step)[1], small.next_train(step)[1]
        assert torch.equal(a["image"], b["image"]) and torch.equal(a["mask"], b["mask"])


def test_more_than_500_pictures_train_without_cuda(capture: Path) -> None:
    manager = build(capture)
    manager.config.cache_images = "cpu"  # what nerfstudio falls back to then; its own code would ask for CUDA
    assert manager.next_train(0)[1]["image"].shape == (32, 24, 3)


def test_masks_can_be_done_without(capture: Path) -> None:
    manager = build(capture, use_masks=False)
    assert "mask" not in manager.next_train(0)[1]
    assert manager.registered_views() == []


def test_registered_views_are_first_of_the_canonical_timestep(capture: Path) -> None:
    manager = build(capture, frames="multi", canonical_timestep=1)
    manager.config.registered_views = 0
    shots = manager.registered_views()
    assert len(shots) == 3
    cameras = manager.train_dataset.cameras
    rows = [row for row, timestep in enumerate(timesteps(cameras)) if timestep == 1]
    for shot, row in zip(shots, rows, strict=True):
        assert shot.is_canonical
        assert torch.allclose(shot.camera.center, cameras.camera_to_worlds[row, :, 3], atol=1e-6)
        assert torch.equal(shot.picture, manager.cached_train[row]["image"])


def test_the_shot_of_a_step_is_its_training_picture(capture: Path) -> None:
    manager = build(capture, frames="multi", canonical_timestep=1)
    num_canonical = 0
    for step in range(len(manager.train_dataset)):
        shot, (camera, batch) = manager.shot(step), manager.next_train(step)
        assert torch.equal(shot.picture, batch["image"]) and shot.mask is not None
        assert torch.equal(shot.mask, batch["mask"]) and shot.weight == 1.0
        assert torch.allclose(shot.camera.center, camera.camera_to_worlds[0, :, 3], atol=1e-6)
        if shot.motion is None:
            num_canonical += 1
            assert timesteps(camera) == [1]
        else:
            assert torch.equal(shot.motion, camera.metadata["motion"][0])
    assert num_canonical == 3 and manager.num_moments > 1


def test_held_out_pictures_by_split(capture: Path) -> None:
    manager = build(capture, test_mode="test")
    test = manager.evaluation_pairs("test")
    assert [timesteps(camera) for camera, _ in test] == [[3]] * 4
    val = manager.evaluation_pairs("val")
    assert [timesteps(camera) for camera, _ in val] == [[0]]
    assert len(manager.training_pairs()) == 3
    assert len(manager.fixed_indices_eval_dataloader) == 4


def test_borrowed_splits_are_not_evaluated(tmp_path: Path) -> None:
    capture = write_tiny_capture(tmp_path / "capture")
    (capture / "transforms_val.json").unlink()
    (capture / "transforms_test.json").unlink()
    manager = build(capture, test_mode="test")
    assert len(manager.eval_dataset) > 0, "nerfstudio cannot do without"
    assert manager.evaluation_pairs("test") == manager.evaluation_pairs("val") == []


def test_pictures_that_are_trained_on_are_not_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture = write_tiny_capture(tmp_path / "capture")
    frames = {name: json.loads((capture / f"transforms_{name}.json").read_text())["frames"] for name in SPLITS}
    write_transforms(capture / "transforms_val.json", [*frames["val"], frames["train"][0]])
    write_transforms(capture / "transforms_test.json", [*frames["test"], frames["train"][1]])
    manager = build(capture, test_mode="test", frames="multi")
    assert [timesteps(camera) for camera, _ in manager.evaluation_pairs("val")] == [[0], [1], [2]]
    assert [timesteps(camera) for camera, _ in manager.evaluation_pairs("test")] == [[3]] * 3
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 frames of the val split are left out" in printed and "timestep 0 camera 0" in printed
    assert "1 frames of the test split are left out" in printed and "timestep 0 camera 1" in printed


def test_evaluation_pictures_take_turns(capture: Path) -> None:
    manager = build(capture, test_mode="test")
    shown = [manager.next_eval_image(step)[1]["image_idx"] for step in range(0, 500, 100)]
    assert shown == [0, 1, 2, 3, 0]


def test_downscaled_by_whole_factors(capture: Path) -> None:
    manager = build(capture, downscale_factor=2.0)  # ns-render's flag is a float
    camera, batch = manager.next_train(0)
    assert batch["image"].shape == (16, 12, 3)
    assert manager.get_train_rays_per_batch() == 16 * 12 == int(camera.width) * int(camera.height)
    with pytest.raises(CaptureError, match=r"downscale_factor is 1\.5"):
        build(capture, downscale_factor=1.5)


def test_a_config_can_be_used_twice(capture: Path, tmp_path: Path) -> None:
    config = CaptureDatamanagerConfig(data=capture, dataparser=FlameCaptureDataParserConfig())
    config.setup(device="cpu", test_mode="val").keep(tmp_path)
    assert config.dataparser.data == Path() and config.run_dir is None


def test_what_the_run_kept_is_for_afterwards_only(capture: Path, tmp_path: Path) -> None:
    config = CaptureDatamanagerConfig(
        data=capture, dataparser=FlameCaptureDataParserConfig(data=capture), run_dir=tmp_path
    )
    config.setup(device="cpu").keep(tmp_path)
    used = config.setup(device="cpu", test_mode="test")
    assert used.config.dataparser.head_model == tmp_path / "head_model.npz"
    trained = config.setup(device="cpu", test_mode="val", training=True)
    assert trained.config.dataparser.head_model is None
    moved = capture.with_name("moved")
    capture.rename(moved)
    try:
        assert config.setup(device="cpu", test_mode="test").from_snapshot
        with pytest.raises(CaptureError, match="is not a folder"):
            config.setup(device="cpu", training=True)
    finally:
        moved.rename(capture)


def turning(folder: Path) -> Path:
    """A capture of one camera; the head turns by 30 degrees from moment to moment."""
    write_tiny_capture(folder, num_cameras=1, num_timesteps=5, width=24, height=32)
    for timestep, path in enumerate(sorted((folder / "flame_param").glob("*.npz"))):
        params = FlameParams.load(path)
        params.expr.zero_()
        params.jaw_pose.zero_()
        params.rotation.zero_()
        params.neck_pose[:] = torch.deg2rad(torch.tensor([[0.0, 30.0 * timestep, 0.0]]))
        params.save_vhap(path)
    return folder


def test_pictures_of_a_turning_head_are_views_of_the_canonical_one(tmp_path: Path) -> None:
    manager = build(turning(tmp_path), frames="multi", canonical_timestep=0)
    views = manager.registered_views()
    # Training moments 0, 30, 60 and 90 degrees: all differ by more than ten.
    assert len(views) == 4 and all(view.is_canonical for view in views)
    assert views[0].skull is None and views[0].steady is None
    for view in views[1:]:
        assert view.skull is not None and view.steady is not None and view.steady.shape == view.mask.shape
        assert view.camera.center[0] < -0.3  # the head turned to its left
    manager.config.registered_views = 2
    assert len(manager.registered_views()) == 2


def test_steady_pixels_belong_to_the_picture_of_the_step(tmp_path: Path) -> None:
    manager = build(turning(tmp_path), frames="multi", canonical_timestep=0)
    for step in range(4):
        steady, shot = manager.steady(step), manager.shot(step)
        assert steady.shape == shot.mask.shape and set(steady.unique().tolist()) <= {0.0, 1.0}
        assert bool((steady == 1).all()) == shot.is_canonical
        assert shot.index == manager.next_train(step)[1]["image_idx"]


def test_groups_are_shown_equally_often() -> None:
    groups = torch.tensor([0, 0, 0, 0, 0, 0, 1, 2])
    shown: list[int] = []
    for epoch in range(30):
        generator = torch.Generator().manual_seed(epoch)
        shown += module._order_of_epoch(8, groups, generator)
    counts = torch.bincount(groups[torch.tensor(shown)])
    assert len(shown) == 240 and (counts - 80).abs().max() <= 15
    within = torch.bincount(torch.tensor(shown))[:6]
    assert within.min() > 3  # no picture of the large group is forgotten


def test_all_frames_of_a_clip_carry_their_group(tmp_path: Path) -> None:
    manager = build(turning(tmp_path), frames="all", canonical_timestep=0)
    metadata = manager.train_dataset.cameras.metadata
    assert metadata is not None and len(metadata["group"].unique()) == 4
    assert sorted(order(manager, range(4))) == [0, 1, 2, 3]
