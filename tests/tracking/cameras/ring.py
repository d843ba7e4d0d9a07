"""A ring of cameras around a point, and the files that state them."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from sage_ns.tracking.cameras.lens import NO_LENS, Lens
from sage_ns.tracking.cameras.rig_camera import RigCamera

SIZE = (120, 160)
FOCAL, CENTER = (300.0, 310.0), (62.0, 77.0)
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def looking(position: np.ndarray, target: np.ndarray) -> np.ndarray:
    """World to camera (x right, y down, z forward), upright in a world with y up."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    turn = np.stack([right, np.cross(forward, right), forward])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, -turn @ position
    return matrix


def ring(count: int = 5, radius: float = 1.0, target: Sequence[float] = (0.1, 0.2, 0.3)) -> list[RigCamera]:
    middle = np.array(target)
    angles = np.linspace(-0.8, 0.8, count)
    return [
        RigCamera(
            f"c{index}", FOCAL, CENTER, SIZE,
            looking(middle + radius * np.array([np.sin(a), 0.1 * (index % 2), np.cos(a)]), middle), "ring",
        )
        for index, a in enumerate(angles)
    ]  # fmt: skip


def write_pictures(folder: Path, names: Sequence[str], size: tuple[int, int] = SIZE) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", size, (120, 100, 90)).save(folder / name)


def opencv_json(cameras: Sequence[RigCamera], **more: Any) -> dict[str, Any]:
    """Content of a cameras.json in metres."""
    entries = {
        camera.name: {
            "K": [[FOCAL[0], 0, CENTER[0] - 0.5], [0, FOCAL[1], CENTER[1] - 0.5], [0, 0, 1]],
            "width": SIZE[0],
            "height": SIZE[1],
            "world_to_camera": camera.world_to_camera.tolist(),
        }
        for camera in cameras
    }
    return {"units": "m", "cameras": entries, **more}


def transforms(cameras: Sequence[RigCamera], **more: Any) -> dict[str, Any]:
    """Content of nerfstudio's transforms.json."""
    frames = [
        {"file_path": f"{camera.name}.png", "transform_matrix": (np.linalg.inv(camera.world_to_camera) @ FLIP).tolist()}
        for camera in cameras
    ]
    shared = {"fl_x": FOCAL[0], "fl_y": FOCAL[1], "cx": CENTER[0], "cy": CENTER[1], "w": SIZE[0], "h": SIZE[1]}
    return {**shared, "frames": frames, **more}


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def write_colmap_text(folder: Path, cameras: Sequence[RigCamera], model: str = "PINHOLE", more: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    params = f"{FOCAL[0]} {FOCAL[1]} {CENTER[0]} {CENTER[1]} {more}"
    (folder / "cameras.txt").write_text(f"# a comment\n7 {model} {SIZE[0]} {SIZE[1]} {params}\n")
    lines = ["# another"]
    for index, camera in enumerate(cameras):
        x, y, z, w = Rotation.from_matrix(camera.world_to_camera[:3, :3]).as_quat()
        shift = " ".join(str(each) for each in camera.world_to_camera[:3, 3])
        points = "1.0 2.0 -1" if index % 2 else ""
        lines += [f"{index + 1} {w} {x} {y} {z} {shift} 7 {camera.name}.png", points]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_colmap_binary(folder: Path, cameras: Sequence[RigCamera]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cameras.bin").write_bytes(struct.pack("<QIiQQ4d", 1, 7, 1, *SIZE, *FOCAL, *CENTER))
    content = struct.pack("<Q", len(cameras))
    for index, camera in enumerate(cameras):
        x, y, z, w = Rotation.from_matrix(camera.world_to_camera[:3, :3]).as_quat()
        content += struct.pack("<I7dI", index + 1, w, x, y, z, *camera.world_to_camera[:3, 3], 7)
        content += f"{camera.name}.png".encode() + b"\0" + struct.pack("<Q", 2) + struct.pack("<2dq", 1, 2, -1) * 2
    (folder / "images.bin").write_bytes(content)
    return folder


def same(read: Sequence[RigCamera], wanted: Sequence[RigCamera], lens: Lens = NO_LENS) -> None:
    """Assert that cameras were read as they are."""
    assert len(read) == len(wanted)
    for one, other in zip(read, wanted, strict=True):
        np.testing.assert_allclose(one.world_to_camera, other.world_to_camera, atol=1e-9)
        np.testing.assert_allclose([*one.focal, *one.center], [*other.focal, *other.center])
        assert one.size == other.size
        assert one.lens == lens or (one.lens.is_none and lens.is_none)
