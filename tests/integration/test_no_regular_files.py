"""Every reader of a user's file x everything that is no regular file: refused at once, with the path and the reason."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sage_ns.avatar.avatar_file import load_avatar
from sage_ns.avatar.mouth import load_mouth_prior
from sage_ns.bench.geometry import Truth
from sage_ns.capture.decode import read_header
from sage_ns.capture.frames import read_frames
from sage_ns.capture.images import load_image
from sage_ns.capture.tracker_checkpoints import load_tracker_checkpoints
from sage_ns.capture.tracker_files import read_heads
from sage_ns.errors import SageError
from sage_ns.exchange.gaussian_avatars_import import find_flame_param
from sage_ns.exchange.ply import read_ply
from sage_ns.field.pretraining import _read as read_cached_field
from sage_ns.field.sdf import SignedDistanceField
from sage_ns.image.metrics import load_lpips
from sage_ns.motion.files import load_motion
from sage_ns.plugin.checkpoints import load_checkpoint
from sage_ns.plugin.snapshot import SnapshotDataParserConfig
from sage_ns.rig import FlameParams, find_head_model, load_head_model
from sage_ns.rig.head_model import load_masks
from sage_ns.video.camera_paths import read_camera_path
from sage_ns.video.ffmpeg import inspect_media
from sage_ns.video.footage import PictureFootage
from tests.rig.flame_pickles import flame_contents
from tests.tiny import tiny_head_model
from tests.tiny_capture import write_tiny_capture


def masks_of_a_picture(path: Path) -> None:
    from PIL import Image

    picture = path.with_name("picture.png")
    Image.new("RGB", (4, 4)).save(picture)
    load_image(picture, path)


READERS: dict[str, Callable[[Path], Any]] = {
    "transforms": read_frames,
    "camera path": read_camera_path,
    "image size": read_header,
    "image": load_image,
    "mask": masks_of_a_picture,
    "source picture": lambda path: PictureFootage([path]).at(0, 0),
    "film": inspect_media,
    "parameters": FlameParams.load,
    "motion": load_motion,
    "tracker checkpoint": lambda path: load_tracker_checkpoints([path]),
    "heads of a tracker": read_heads,
    "head model": load_head_model,
    "named head model": find_head_model,
    "masks of a head model": lambda path: load_masks(path, 10),
    "avatar": load_avatar,
    "mouth prior": load_mouth_prior,
    "ply": read_ply,
    "checkpoint": load_checkpoint,
    "snapshot": lambda path: SnapshotDataParserConfig(data=path).setup().get_dataparser_outputs("train"),
    "truth": lambda path: Truth.load(path, 0),
    "lpips weights": load_lpips,
}

NO_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (lambda path: None, "no such file"),
    "fifo": (lambda path: os.mkfifo(path), r"is a named pipe \(FIFO\); expected a file"),
    "folder": (lambda path: path.mkdir(), "is a folder; expected a file"),
    "dangling": (lambda path: path.symlink_to("gone"), "is a link to gone, which does not exist"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device; expected a file"),
}


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("reader", READERS)
def test_readers_refuse_what_is_no_file(reader: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "given.npz"
    make, message = NO_FILES[kind]
    if reader in ("motion", "parameters") and kind == "folder":
        message = "(no motion in this folder|found no npz files)"  # folders hold motion, too
    if reader == "heads of a tracker" and kind == "folder":
        message = "found no heads of a tracker in it"
    make(path)
    with pytest.raises(SageError, match=rf"given\.npz:? ?{message}"):
        READERS[reader](path)


DAMAGES: dict[str, bytes] = {
    "empty": b"",
    "text": b"hello\n",
    "noise": bytes(range(256)) * 8,
    "half a zip": b"PK\3\4" + bytes(60),
    "half a pickle": b"\x80\x04}\x94(",
    "memo bomb": b"\x80\x02}r\xff\xff\xff\x7f.",
    "deep json": b"[" * 20_000,
    "half a ply": b"ply\nformat binary_little_endian 1.0\nelement vertex 99999999999\nproperty float x\nend_header\n",
    "endless ply": b"ply\n" + b"comment x\n" * 10_000,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("reader", READERS)
def test_readers_name_a_damaged_file(reader: str, damage: str, tmp_path: Path) -> None:
    if reader == "named head model":
        pytest.skip("finds the file and does not read it")
    path = tmp_path / "given.npz"
    path.write_bytes(DAMAGES[damage])
    with pytest.raises(SageError, match=r"given\.npz"):
        READERS[reader](path)


BESIDE: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "head model of a capture": ("head_model.npz", lambda folder: find_head_model(None, folder)),
    "masks of a head model": ("flame_masks.pkl", lambda folder: load_head_model(flame(folder / "flame.pkl"))),
    "transforms of a driver": ("transforms_test.json", load_motion),
    "parameters of splats": ("flame_param.npz", lambda folder: FlameParams.load(beside(folder / "point_cloud.ply"))),
}
"""Files that readers look for beside what the user gives; what is there but is no file must not be passed over."""


def beside(splats: Path) -> Path:
    found = find_flame_param(splats)
    assert found is not None
    return found


def flame(path: Path) -> Path:
    path.write_bytes(pickle.dumps(flame_contents(tiny_head_model())))
    return path


@pytest.mark.parametrize("kind", [kind for kind in NO_FILES if kind != "missing"])
@pytest.mark.parametrize("what", BESIDE)
def test_what_lies_beside_and_is_no_file_is_not_passed_over(what: str, kind: str, tmp_path: Path) -> None:
    name, read = BESIDE[what]
    make, message = NO_FILES[kind]
    if what == "parameters of splats" and kind == "folder":
        message = "found no npz files"  # folders hold parameters, too
    if what == "transforms of a driver":
        (write_tiny_capture(tmp_path) / name).unlink()
    make(tmp_path / name)
    with pytest.raises(SageError, match=rf"{name}:? ?{message}"):
        read(tmp_path)


@pytest.mark.parametrize("kind", NO_FILES)
def test_a_cache_that_is_no_file_counts_as_empty(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "given.pt"
    NO_FILES[kind][0](path)
    field: Any = SignedDistanceField.__new__(SignedDistanceField)
    assert read_cached_field(path, field) is None
