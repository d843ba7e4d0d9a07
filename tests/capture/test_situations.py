"""Captures as other programs and systems leave them give the same frames, pictures and masks.

Which test holds which situation of public bug reports:

| situation | test |
|---|---|
| `inspect` checks nothing | `tests/cli/test_capture_cli.py::test_inspect_makes_the_checks_of_training` |
| a matte, or a picture, with 16 bits | here, `tests/capture/test_decode.py` |
| lens distortion | `tests/capture/test_camera_checks.py`, `tests/cli/test_capture_cli.py` |
| read-only home, read-only installation | `tests/integration/test_machine.py`, `tests/system/test_cache.py` |
| full disk | `tests/integration/test_machine.py`, `tests/system/test_files.py` |
| Windows paths, byte order marks | here, `tests/capture/test_paths.py`, `tests/system/test_json_files.py` |
| upper-case suffixes | here, `tests/capture/test_paths.py` |
| a driver in degrees | `tests/cli/test_render_cli.py::test_degrees_are_refused`, `tests/motion/test_limits.py` |
| sizes one unit in the last place off | here |
| a driver without `shape`, or with one per moment | `tests/motion/files/test_npz_sequence.py` |
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.capture.checked import CaptureOptions, inspect_capture
from sage_ns.capture.images import load_image
from tests.capture.pictures_of_kinds import write_png_16
from tests.tiny_capture import edit_frames, write_tiny_capture

PATHS = ("file_path", "fg_mask_path", "flame_param_path")


def all_frames(folder: Path, **changes: Any) -> None:
    for path in folder.glob("transforms*.json"):
        edit_frames(path, **changes)


def windows_paths(folder: Path) -> None:
    all_frames(folder, **dict.fromkeys(PATHS, lambda name: name.replace("/", "\\")))


def byte_order_marks(folder: Path) -> None:
    for path in folder.glob("transforms*.json"):
        path.write_text(path.read_text(), encoding="utf-8-sig")


def upper_case_suffixes(folder: Path) -> None:
    for path in list(folder.glob("*/*.png")):
        path.rename(path.with_suffix(".PNG"))
    all_frames(folder, file_path=lambda name: name.removesuffix(".png"))


def sizes_one_unit_off(folder: Path) -> None:
    all_frames(folder, w=lambda size: float(np.nextafter(size, 1e9)), h=lambda size: float(np.nextafter(size, 0.0)))


def sixteen_bits(folder: Path) -> None:
    for path in folder.glob("*/*.png"):
        samples = np.asarray(Image.open(path)).astype(np.uint16) * 257
        write_png_16(path, samples.reshape(*samples.shape[:2], -1))


def shared_keys_of_another_frame(folder: Path) -> None:
    """VHAP's keys for the whole file repeat a frame's, and need not be those of the others."""
    for path in folder.glob("transforms*.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "fl_x": 9.0, "fl_y": 9.0, "w": 7, "h": 9}))


def values(folder: Path) -> list[tuple[Any, ...]]:
    """All that training takes from the frames of a capture."""
    splits = inspect_capture(CaptureOptions(folder, frames="multi")).splits
    return [
        (
            *(frame.timestep, frame.camera_index, frame.fx, frame.fy, frame.cx, frame.cy, frame.width, frame.height),
            *load_image(frame.image_path, frame.mask_path),
        )
        for frame in (*splits.train, *splits.val, *splits.test)
    ]


@pytest.mark.parametrize(
    "change",
    [
        *(windows_paths, byte_order_marks, upper_case_suffixes, sizes_one_unit_off, sixteen_bits),
        shared_keys_of_another_frame,
    ],
)
def test_the_capture_is_the_same(change: Callable[[Path], None], tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path / "capture")
    expected = values(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    change(folder)
    assert before != {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for ours, theirs in zip(expected, values(folder), strict=True):
        assert ours[:8] == theirs[:8]
        for one, other in zip(ours[8:], theirs[8:], strict=True):
            assert torch.equal(one, other)
