"""Every script of ``examples/`` runs on a small avatar and writes what its first lines describe."""

from __future__ import annotations

import json
import runpy
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.avatar.avatar import Avatar
from sage_ns.capture import read_capture
from sage_ns.capture.record import CaptureRecord
from sage_ns.cli.capture import main as sage_capture
from sage_ns.plugin.dataparser import FlameCaptureDataParserConfig
from sage_ns.rig import FlameParams
from tests.integration.conftest import free_port
from tests.motion.files.written import live_link_face
from tests.tiny import tiny_params

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, avatar_file: Path):
    """Runs a script on the avatar, in an empty folder."""

    def run(script: str, *arguments: object) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", [script, str(avatar_file), *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")

    return run


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image, dtype=np.float32) / 255


def expected(avatar_file: Path, motion: torch.Tensor, width: int, height: int) -> np.ndarray:
    avatar = Avatar.load(avatar_file)
    return avatar.render(motion, avatar.front_camera(width, height)).numpy()


def test_every_script_is_tested() -> None:
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert scripts == {
        "00_render_on_cpu.py", "01_animate_from_npz.py", "02_capture_from_arrays.py", "03_drive_from_arkit.py"
    }  # fmt: skip


def test_render(run, tmp_path: Path, avatar_file: Path) -> None:
    run("00_render_on_cpu.py")
    neutral = Avatar.load(avatar_file).neutral().motion_vector()[0]
    np.testing.assert_allclose(pixels(tmp_path / "picture.png"), expected(avatar_file, neutral, 400, 500), atol=0.003)


def test_animate(run, tmp_path: Path, avatar_file: Path) -> None:
    avatar = Avatar.load(avatar_file)
    driver = tiny_params(avatar.rig.head_model, 2, size=0.03)
    driver.save_vhap(tmp_path / "motion.npz")
    run("01_animate_from_npz.py", "motion.npz", "frames")
    motion = avatar.fit(driver)[1]
    motion[FlameParams.HEAD] = avatar.neutral().motion_vector()[0, FlameParams.HEAD]
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == ["00000.png", "00001.png"]
    picture = pixels(tmp_path / "frames" / "00001.png")
    np.testing.assert_allclose(picture, expected(avatar_file, motion, 400, 500), atol=0.003)


def test_capture_from_arrays(run, tmp_path: Path, avatar_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("02_capture_from_arrays.py", "made")
    capsys.readouterr()
    sage_capture(["inspect", str(tmp_path / "made")])
    printed = capsys.readouterr().out
    assert "200 x 250" in printed and "built-in head" in printed
    capture = read_capture(tmp_path / "made")
    assert [len(frames) for frames in (capture.train, capture.val, capture.test)] == [8, 2, 5]
    outputs = FlameCaptureDataParserConfig(data=tmp_path / "made").setup().get_dataparser_outputs("train")
    assert len(outputs.image_filenames) == 4 and CaptureRecord.of(outputs.metadata).canonical_timestep == 0
    # The held-out camera is the frontal one; the dataparser returns the same pose.
    front = Avatar.load(avatar_file).front_camera(200, 250)
    found = torch.from_numpy(capture.val[0].camera_to_world).float()
    torch.testing.assert_close(found[:3, 3], front.center, atol=1e-5, rtol=0)
    torch.testing.assert_close(found[:3, 2], -front.T_camera_world[2, :3], atol=1e-5, rtol=0)
    assert FlameParams.load(capture.test[0].flame_param_path).jaw_pose[0, 0] == pytest.approx(0.3)


RECORDING = [{"jawOpen": 1.0, "head": [0.0, 0.3, 0.0]}, {"mouthSmile_L": 1.0, "eyeBlinkLeft": 1.0}, {}]


def test_drive_from_a_recording(run, tmp_path: Path, avatar_file: Path) -> None:
    (tmp_path / "recording.jsonl").write_text("\n".join(map(json.dumps, RECORDING)) + "\n")
    run("03_drive_from_arkit.py", "recording.jsonl", "frames")
    pictures = [pixels(path) for path in sorted((tmp_path / "frames").iterdir())]
    neutral = Avatar.load(avatar_file).neutral().motion_vector()[0]
    assert len(pictures) == 3
    np.testing.assert_allclose(pictures[2], expected(avatar_file, neutral, 640, 400), atol=0.003)
    assert all(np.abs(picture - pictures[2]).max() > 0.2 for picture in pictures[:2])


def test_drive_from_live_link_face(run, tmp_path: Path, avatar_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    live_link_face(tmp_path / "take.csv", [{"jawOpen": 1.0}, None, {}])
    run("03_drive_from_arkit.py", "take.csv", "frames")
    pictures = [pixels(path) for path in sorted((tmp_path / "frames").iterdir())]
    neutral = Avatar.load(avatar_file).neutral().motion_vector()[0]
    assert len(pictures) == 3 and np.array_equal(pictures[0], pictures[1])
    np.testing.assert_allclose(pictures[2], expected(avatar_file, neutral, 640, 400), atol=0.003)
    assert np.abs(pictures[0] - pictures[2]).max() > 0.2
    assert "1 of 3 moments have no scores" in capsys.readouterr().out


def test_drive_from_the_network(run, tmp_path: Path) -> None:
    port = free_port()
    done = threading.Event()

    def send() -> None:
        as_long_as_all_of_arkit = json.dumps({"jawOpen": 0.5}).ljust(1500).encode()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", port))
            sender.settimeout(0.1)
            message = as_long_as_all_of_arkit
            while not done.is_set():
                try:
                    sender.send(message)
                    sender.recv(1)
                except ConnectionRefusedError:  # nobody listens yet
                    done.wait(0.1)
                except TimeoutError:  # it was taken
                    message = b""

    sender = threading.Thread(target=send)
    sender.start()
    try:
        run("03_drive_from_arkit.py", f"udp:{port}", "frames")
    finally:
        done.set()
        sender.join()
    assert any((tmp_path / "frames").iterdir())
