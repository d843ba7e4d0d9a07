"""Readers against anything: whatever bytes, JSON values and names hypothesis finds, the file is named or read."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage_ns.bench.clock import Clock
from sage_ns.bench.result import Result
from sage_ns.capture.frames import read_frames
from sage_ns.capture.tracker_checkpoints import load_tracker_checkpoints
from sage_ns.errors import CaptureError, SageError
from sage_ns.exchange.ply import read_ply
from sage_ns.motion.files import load_motion
from sage_ns.rig.head_model import load_masks
from sage_ns.system.array_fields import read_npz
from sage_ns.system.json_files import load_json
from sage_ns.system.torch_files import check_torch_file
from sage_ns.video.camera_paths import read_camera_path
from tests.tiny_capture import write_tiny_capture

few = settings(max_examples=60, deadline=None, derandomize=True)

BEGINNINGS = (
    b"",
    b"PK\3\4",
    b"\x80\x04",
    b"ply\n",
    b"{",
    b"\x93NUMPY\x01\x00",
    b"\xff\xfe",
    b"Timecode,BlendShapeCount\n",
)
READERS: dict[str, Callable[[Path], Any]] = {
    "npz": lambda path: read_npz(path, SageError),
    "json": lambda path: load_json(path, SageError),
    "ply": read_ply,
    "pickle": lambda path: load_masks(path, 10),
    "torch": lambda path: check_torch_file(path, SageError),
    "tracker": lambda path: load_tracker_checkpoints([path]),
    "motion": load_motion,
    "frames": read_frames,
    "camera path": read_camera_path,
}


def in_file(content: bytes, read: Callable[[Path], Any]) -> Any:
    """What a reader makes of these bytes; None where it refuses them by name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "given.bin"
        path.write_bytes(content)
        try:
            return read(path)
        except SageError as error:
            assert "given.bin" in str(error) and len(str(error)) < 4000


@pytest.mark.parametrize("reader", READERS)
@few
@given(beginning=st.sampled_from(BEGINNINGS), rest=st.binary(max_size=300))
def test_any_bytes(reader: str, beginning: bytes, rest: bytes) -> None:
    in_file(beginning + rest, READERS[reader])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def frame() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = write_tiny_capture(Path(folder) / "capture", num_timesteps=1, num_cameras=1) / "transforms.json"
        return json.loads(path.read_text())["frames"][0]


FRAME = frame()
CAMERA = {"camera_to_world": [float(i % 5 == 0) for i in range(16)], "fov": 30.0, "render_time": 0.5}
PATH = {"camera_type": "perspective", "render_width": 8, "render_height": 9, "fps": 25, "camera_path": [CAMERA]}


@few
@given(key=st.sampled_from(sorted(FRAME)), value=VALUES)
def test_any_value_of_a_frame(key: str, value: Any) -> None:
    content = json.dumps({"frames": [{**FRAME, key: value}]}).encode()
    for each in in_file(content, read_frames) or ():
        numbers = (each.fx, each.fy, each.cx, each.cy, *each.camera_to_world.flatten().tolist())
        assert all(map(math.isfinite, numbers)) and each.timestep >= 0 and each.width >= 1 and each.height >= 1


@few
@given(key=st.sampled_from(sorted({*PATH, *CAMERA})), value=VALUES)
def test_any_value_of_a_camera_path(key: str, value: Any) -> None:
    camera = {**CAMERA, key: value} if key in CAMERA else CAMERA
    whole = {**PATH, "camera_path": [camera], **({key: value} if key in PATH else {})}
    found = in_file(json.dumps(whole).encode(), read_camera_path)
    for each in () if found is None else found.cameras:
        assert bool(each.intrinsics.isfinite().all()) and bool(each.T_camera_world.isfinite().all())


@few
@given(
    name=st.text(max_size=30) | st.sampled_from(["../x", "/etc/passwd", "..\\..\\x", "a/../../../b", "C:\\x", "~/x"])
)
def test_any_name_of_a_picture_stays_in_reach(name: str) -> None:
    """A frame's files lie in the capture, or in a sequence beside it."""
    with tempfile.TemporaryDirectory() as outer:
        path = Path(outer) / "union" / "capture" / "given.bin"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"frames": [{**FRAME, "file_path": name}]}))
        try:
            (found,) = read_frames(path)
        except CaptureError as error:
            assert "given.bin" in str(error)
        else:
            assert found.image_path.resolve().is_relative_to(path.parent.parent.resolve())


@few
@given(value=VALUES)
def test_any_json_in_place_of_a_benchmarks_files(value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("metrics.json", "clock.json"):
            (Path(folder) / name).write_text(json.dumps(value))
        assert Result.load(Path(folder)) is None
        assert Clock.read(Path(folder)) is None or value == {}
