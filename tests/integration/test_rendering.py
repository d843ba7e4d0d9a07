from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image

from sage_ns.errors import CaptureError
from sage_ns.rig import FlameParams
from tests.integration.commands import run_here
from tests.integration.conftest import Run
from tests.tiny_capture import write_tiny_capture

WIDTH, HEIGHT = 48, 40


@pytest.fixture(scope="module")
def other_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another person's: other identity, motion, cameras and picture size, and no head model to be found nearby."""
    folder = write_tiny_capture(
        tmp_path_factory.mktemp("other") / "deep" / "capture", num_cameras=2, num_timesteps=7, width=20, height=28
    )
    (folder / "head_model.npz").unlink()
    for file in (folder / "flame_param").iterdir():
        params = FlameParams.load(file)
        FlameParams(
            shape=3.0 * torch.ones_like(params.shape),
            expr=params.expr,
            rotation=params.rotation,
            neck_pose=params.neck_pose,
            jaw_pose=-params.jaw_pose,
            eyes_pose=params.eyes_pose,
            translation=params.translation,
            static_offset=None,
        ).save_vhap(file)
    return folder


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(float)


def avatar(run: Run) -> Any:
    return eval_setup(run.config, test_mode="inference")[1].model


def as_pixels(image: torch.Tensor) -> np.ndarray:
    return np.round(255 * image.expand(*image.shape[:2], 3).numpy())


def test_dataset_renders_every_picture_of_a_split_and_every_buffer(tiny_run: Run, tmp_path: Path) -> None:
    run_here(
        *("ns-render", "dataset", "--load-config", tiny_run.config, "--split", "test"),
        *("--output-path", tmp_path, "--image-format", "png"),
    )
    names = [f"00003_{camera:02d}.png" for camera in range(3)]
    for output in ("gt-rgb", "rgb", "accumulation", "depth", "normal", "distortion"):
        folder = tmp_path / "test" / output
        assert sorted(path.name for path in folder.iterdir()) == names
    truth = read(tiny_run.capture / "images" / names[0])
    assert np.abs(read(tmp_path / "test" / "gt-rgb" / names[0]) - truth).max() <= 1


@pytest.mark.parametrize("split", ["train", "val", "train+test"])
def test_dataset_renders_other_splits(tiny_run: Run, tmp_path: Path, split: str) -> None:
    before = (tiny_run.folder / "capture.npz").read_bytes()
    run_here(
        *("ns-render", "dataset", "--load-config", tiny_run.config, "--split", split),
        *("--output-path", tmp_path, "--rendered-output-names", "rgb"),
    )
    assert {path.name for path in tmp_path.iterdir()} == set(split.split("+"))
    assert (tiny_run.folder / "capture.npz").read_bytes() == before


def test_dataset_downscales(tiny_run: Run, tmp_path: Path) -> None:
    run_here(
        *("ns-render", "dataset", "--load-config", tiny_run.config, "--output-path", tmp_path),
        *("--downscale-factor", 2, "--rendered-output-names", "rgb", "gt-rgb"),
    )
    for output in ("rgb", "gt-rgb"):
        assert read(tmp_path / "test" / output / "00003_00.jpg").shape == (16, 12, 3)


def test_another_person_drives_the_avatar(tiny_run: Run, tmp_path: Path, other_capture: Path) -> None:
    run_here(
        *("ns-render", "dataset", "--load-config", tiny_run.config, "--split", "test", "--data", other_capture),
        *("--output-path", tmp_path, "--image-format", "png", "--rendered-output-names", "rgb"),
    )
    rendered = {path.name: read(path) for path in (tmp_path / "test" / "rgb").iterdir()}
    # 7 timesteps, the last 2 held out, seen by 2 cameras
    assert sorted(rendered) == ["00005_00.png", "00005_01.png", "00006_00.png", "00006_01.png"]
    # The avatar keeps its own shape: it looks as if its own capture had held that motion and that camera.
    model = avatar(tiny_run)
    pipeline_of_driver = _driver_cameras(tiny_run, other_capture)
    for index, name in enumerate(sorted(rendered)):
        expected = as_pixels(model.get_outputs_for_camera(pipeline_of_driver[index : index + 1])["rgb"])
        assert np.abs(rendered[name] - expected).max() <= 1
    assert np.abs(rendered["00005_00.png"] - rendered["00006_00.png"]).max() > 10, "the motion arrives"


def _driver_cameras(run: Run, driver: Path) -> Any:
    from sage_ns.plugin.dataparser import FlameCaptureDataParserConfig

    config = FlameCaptureDataParserConfig(data=driver, head_model=run.folder / "head_model.npz")
    return config.setup().get_dataparser_outputs("test").cameras


def test_a_driver_needs_no_canonical_timestep_of_ours(tiny_run: Run, tmp_path: Path, other_capture: Path) -> None:
    config = tmp_path / "config.yml"
    ours = tiny_run.config.read_text().replace("canonical_timestep: null", "canonical_timestep: 1999")
    config.write_text(ours.replace("num_cameras: null", "num_cameras: 99"), "utf8")
    arguments = ("ns-render", "dataset", "--load-config", config, "--output-path", tmp_path / "out")
    run_here(*arguments, "--data", other_capture, "--rendered-output-names", "rgb")
    with pytest.raises(CaptureError, match="canonical_timestep 1999"):
        run_here(*arguments)


def test_a_driver_that_does_not_exist_is_not_replaced_by_ourselves(tiny_run: Run, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="nowhere is not a folder"):
        run_here(
            *("ns-render", "dataset", "--load-config", tiny_run.config, "--data", tmp_path / "nowhere"),
            *("--output-path", tmp_path),
        )


def write_camera_path(path: Path, times: list[float | None]) -> Path:
    """A camera in front of the head that stays, while ``render_time`` goes on."""
    pose = np.eye(4)
    pose[2, 3] = 0.6
    frames = [
        {"camera_to_world": pose.flatten().tolist(), "fov": 40.0, "aspect": WIDTH / HEIGHT}
        | ({} if time is None else {"render_time": time})
        for time in times
    ]
    content = {"render_height": HEIGHT, "render_width": WIDTH, "camera_type": "perspective", "seconds": 1.0}
    path.write_text(json.dumps({**content, "camera_path": frames}))
    return path


def render_path(run: Run, tmp_path: Path, times: list[float | None]) -> list[np.ndarray]:
    path = write_camera_path(tmp_path / "path.json", times)
    run_here(
        *("ns-render", "camera-path", "--load-config", run.config, "--camera-path-filename", path),
        *("--output-path", tmp_path / "frames", "--output-format", "images", "--image-format", "png"),
    )
    return [read(tmp_path / "frames" / f"{index:05d}.png") for index in range(len(times))]


def test_render_time_picks_the_moment_of_the_motion(tiny_run: Run, tmp_path: Path) -> None:
    frames = render_path(tiny_run, tmp_path, [0.0, 1 / 3, 0.5, 1.0, 0.0])
    assert frames[0].shape == (HEIGHT, WIDTH, 3)
    assert np.array_equal(frames[0], frames[4])
    differences = [np.abs(a - b).max() for a, b in itertools.pairwise(frames)]
    assert min(differences) > 5
    model = avatar(tiny_run)
    assert torch.allclose(model.motion.at_time(1 / 3), model.motion.motion[1], atol=1e-5)


def test_without_render_time_the_canonical_moment_is_shown(tiny_run: Run, tmp_path: Path) -> None:
    (without,) = render_path(tiny_run, tmp_path, [None])
    (first,) = render_path(tiny_run, tmp_path, [0.0])  # the tiny capture's canonical timestep is its first
    assert np.array_equal(without, first)


def test_rgba_has_the_background_taken_out(tiny_run: Run, tmp_path: Path) -> None:
    path = write_camera_path(tmp_path / "path.json", [0.0])
    run_here(
        *("ns-render", "camera-path", "--load-config", tiny_run.config, "--camera-path-filename", path),
        *("--output-path", tmp_path / "frames", "--output-format", "images", "--image-format", "png"),
        *("--rendered-output-names", "rgba"),
    )
    image = np.asarray(Image.open(tmp_path / "frames" / "00000.png"))
    assert image.shape == (HEIGHT, WIDTH, 4)
    assert image[0, 0, 3] == 0 and image[HEIGHT // 2, WIDTH // 2, 3] > 200


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without ffmpeg, and a user who never ran this before."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert shutil.which("ffmpeg") is None


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("command", ["camera-path", "interpolate"])
def test_videos_need_no_installed_ffmpeg(tiny_run: Run, tmp_path: Path, command: str) -> None:
    video = tmp_path / "video.mp4"
    if command == "camera-path":
        given = ("--camera-path-filename", write_camera_path(tmp_path / "path.json", [0.0, 0.5, 1.0]))
    else:
        given = ("--pose-source", "eval", "--interpolation-steps", 2, "--frame-rate", 4)
    run_here("ns-render", command, "--load-config", tiny_run.config, "--output-path", video, *given)
    # interpolate goes from each of the three test cameras to the next
    assert imageio_ffmpeg.count_frames_and_secs(str(video))[0] == (3 if command == "camera-path" else 4)


@pytest.mark.usefixtures("no_ffmpeg")
def test_a_stale_ffmpeg_link_is_replaced(tmp_path: Path) -> None:
    from sage_ns.video.ffmpeg import put_ffmpeg_on_path

    link = tmp_path / "cache" / "sage_ns" / "bin" / "ffmpeg"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "an environment that was removed")
    put_ffmpeg_on_path()
    subprocess.run(["ffmpeg", "-version"], check=True, capture_output=True, env=dict(os.environ))


def test_moved_capture_leaves_camera_paths_and_interpolation(capture_gone: Run, tmp_path: Path) -> None:
    frames = render_path(capture_gone, tmp_path, [0.0, 1.0])
    assert np.abs(frames[0] - frames[1]).max() > 5
    run_here(
        *("ns-render", "interpolate", "--load-config", capture_gone.config, "--output-path", "around.mp4"),
        *("--interpolation-steps", 2, "--pose-source", "train"),
    )
    assert Path("around.mp4").stat().st_size > 0


def test_moved_capture_gives_the_same_pictures(tiny_run: Run, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    (tmp_path / "before").mkdir()
    before = render_path(tiny_run, tmp_path / "before", [0.3])
    request.getfixturevalue("capture_gone")
    (tmp_path / "after").mkdir()
    assert np.array_equal(render_path(tiny_run, tmp_path / "after", [0.3]), before)


def test_moved_capture_cannot_be_compared_with(capture_gone: Run, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="its capture is gone"):
        run_here("ns-render", "dataset", "--load-config", capture_gone.config, "--output-path", tmp_path)


def test_moved_capture_can_still_be_driven_by_another(capture_gone: Run, tmp_path: Path, other_capture: Path) -> None:
    run_here(
        *("ns-render", "dataset", "--load-config", capture_gone.config, "--data", other_capture),
        *("--output-path", tmp_path / "out", "--rendered-output-names", "rgb"),
    )
    assert len(list((tmp_path / "out" / "test" / "rgb").iterdir())) == 4
