"""Pixel3DMM's folders as captures: vertices fall on the pixels where its renderer has them; masks are the person."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.capture import load_image, read_capture
from sage_ns.capture.pixel3dmm import convert_pixel3dmm
from sage_ns.cli.capture import main
from sage_ns.errors import SageError
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import project
from sage_ns.rig import FlameParams, load_head_model, pose_vertices, save_head_model
from tests.capture.tracker_files.written import COUNT, LIDS, SIDE, flame, pixel3dmm, pixel3dmm_pixels, write_frames

WIDTH, HEIGHT = 32, 24
"""Not square, so that each side has a focal length of its own."""


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flame") / "generic_model.npz"
    save_head_model(flame(), path)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """The folder of the tracking and that of the pictures."""
    tracking, pictures = write_frames(tmp_path / "clip_nV1", pixel3dmm), tmp_path / "clip"
    for name in ("cropped", "seg_og"):
        (pictures / name).mkdir(parents=True)
    for moment in range(COUNT):
        Image.new("RGB", (WIDTH, HEIGHT), (80 * moment, 100, 50)).save(pictures / f"cropped/{moment:05d}.jpg")
        parts = np.zeros((HEIGHT, WIDTH), np.uint8)
        parts[:, 4:8], parts[:, 8:16], parts[:, 16:20] = 1, 14, 20
        Image.fromarray(parts).save(pictures / f"seg_og/{moment:05d}.png")
    return tracking, pictures


def test_vertices_fall_on_the_pixels_of_the_tracker(
    folders: tuple[Path, Path], tmp_path: Path, model_file: Path
) -> None:
    converted = convert_pixel3dmm(*folders, tmp_path / "out", head_model=model_file, test_frames=1)
    capture = read_capture(converted.folder)
    assert [frame.timestep for frame in capture.train] == [0, 1] and [frame.timestep for frame in capture.test] == [2]
    model = load_head_model(converted.folder / "head_model.npz")
    for frame, expected in zip((*capture.train, *capture.test), pixel3dmm_pixels()[:, :54], strict=True):
        vertices = pose_vertices(model, FlameParams.load(frame.flame_param_path))[0, :54]
        camera = PinholeCamera.from_opengl(
            torch.from_numpy(frame.camera_to_world).float(),
            *(frame.fx, frame.fy, frame.cx, frame.cy, frame.width, frame.height),
        )
        scale = np.array([WIDTH, HEIGHT]) / SIDE
        np.testing.assert_allclose(project(vertices, camera).pixels.numpy(), expected * scale, atol=1e-3)
        image, mask = load_image(frame.image_path, frame.mask_path)
        assert mask is not None and mask[0, :, 0].tolist() == [0] * 4 + [255] * 12 + [0] * 16
        assert image[0, 0].tolist() == [255] * 3 and image[0, 20].tolist() == [255] * 3
        color = torch.tensor([80 * frame.timestep, 100, 50])
        assert int((image[0, 10].int() - color).abs().max()) <= 3
    assert "eyelids at 1 of 3 timesteps were moved by Pixel3DMM's" in converted.notes[0]
    assert "CC BY-NC" in converted.notes[-1]


def test_the_command_keeps_blinks(
    folders: tuple[Path, Path], tmp_path: Path, model_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side, name in enumerate(("l_eyelid.npy", "r_eyelid.npy")):
        np.save(tmp_path / name, np.full((5023, 3), 0.001 * (side + 1), np.float32))
    main(["pixel3dmm", *map(str, folders), str(tmp_path / "out"), "--eyelids", str(tmp_path), "--head-model",
          str(model_file)])  # fmt: skip
    assert "ns-train sage-monocular" in capsys.readouterr().out
    frames = read_capture(tmp_path / "out").train
    found = torch.cat([FlameParams.load(frame.flame_param_path).expr[:, -2:] for frame in frames])
    torch.testing.assert_close(found, LIDS)


def _without(name: str) -> Callable[[Path, Path], None]:
    return lambda tracking, pictures: (pictures / name).unlink()


def _small_parts(tracking: Path, pictures: Path) -> None:
    Image.new("L", (16, 12), 2).save(pictures / "seg_og/00001.png")


def _no_person(tracking: Path, pictures: Path) -> None:
    Image.new("L", (WIDTH, HEIGHT), 20).save(pictures / "seg_og/00002.png")


def _no_checkpoints(tracking: Path, pictures: Path) -> None:
    shutil.rmtree(tracking / "checkpoint")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without("cropped/00001.jpg"), r"cropped/00001.jpg is missing, but the tracking has frame 1"),
        (_without("seg_og/00002.png"), r"seg_og/00002.png is missing"),
        (_small_parts, r"00001.png is 16 x 12 px, but 00001.jpg is 32 x 24 px"),
        (_no_person, r"00002.png: found no part of a person"),
        (_no_checkpoints, r"contains no \*\.frame"),
    ],
)
def test_folders_that_do_not_fit_are_refused_and_nothing_is_left(
    folders: tuple[Path, Path], tmp_path: Path, model_file: Path, spoil: Callable[[Path, Path], None], message: str
) -> None:
    spoil(*folders)
    with pytest.raises(SageError, match=message):
        convert_pixel3dmm(*folders, tmp_path / "out", head_model=model_file)
    assert not (tmp_path / "out").exists()


def test_frames_have_to_be_left_for_training(folders: tuple[Path, Path], tmp_path: Path, model_file: Path) -> None:
    with pytest.raises(SageError, match="--test-frames is 3, and there are 3 frames"):
        convert_pixel3dmm(*folders, tmp_path / "out", head_model=model_file, test_frames=3)
