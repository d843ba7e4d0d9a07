"""Subjects of the corpus: files of networks that find faces and people, and files that state cameras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sage_ns.capture.tracker_files import read_heads
from sage_ns.tracking.cameras.files import read_cameras
from sage_ns.tracking.cameras.rig_camera import RigCamera
from sage_ns.tracking.networks.files import read_graphs, write_graphs
from sage_ns.tracking.networks.network import Network
from sage_ns.tracking.networks.tflite import read_tflite
from tests.capture.tracker_files.written import pixel3dmm, sheap, smirk
from tests.corpus.subject import Subject
from tests.tracking.cameras.ring import CENTER, FOCAL, SIZE, opencv_json, ring, transforms, write_json
from tests.tracking.tflite_writer import small_network, task

_NAMES = ("face_detector", "face_blendshapes")


def _write_task(folder: Path) -> Path:
    path = folder / "face_landmarker.task"
    path.write_bytes(task({f"{name}.tflite": small_network() for name in _NAMES}))
    return path


def _write_npz(folder: Path) -> Path:
    path = folder / "face_landmarker.npz"
    write_graphs(path, {name: read_tflite(small_network(), name) for name in _NAMES})
    return path


def _write_tflite(folder: Path) -> Path:
    path = folder / "selfie_segmentation.tflite"
    path.write_bytes(small_network())
    return path


def _read(*names: str) -> Any:
    def read(path: Path) -> Any:
        graphs = read_graphs(path, names)
        for name, graph in graphs.items():
            Network(graph, f"{path}: {name}")
        return graphs

    return read


def _write_cameras(name: str, content: Callable[[Sequence[RigCamera]], Any]) -> Callable[[Path], Path]:
    return lambda folder: write_json(folder / name, content(ring(3)))


def _nersemble(cameras: Sequence[RigCamera]) -> dict[str, Any]:
    poses = {camera.name: camera.world_to_camera.tolist() for camera in cameras}
    intrinsics = [[FOCAL[0], 0.0, CENTER[0]], [0.0, FOCAL[1], CENTER[1]], [0.0, 0.0, 1.0]]
    return {"world_2_cam": poses, "intrinsics": intrinsics, "width": SIZE[0], "height": SIZE[1]}


def _read_cameras(path: Path) -> Any:
    """Cameras without the places that messages name."""
    rig = read_cameras(path)
    poses = [camera.world_to_camera for camera in rig.cameras]
    return poses, [(each.name, each.focal, each.center, each.size, each.lens) for each in rig.cameras]


def _write_sheap(folder: Path) -> Path:
    torch.save({"flame_params": sheap(), "bbox": (0, 0, 9, 9)}, folder / "sheap.pt")
    return folder / "sheap.pt"


def _write_smirk(folder: Path) -> Path:
    np.savez(folder / "smirk.npz", **{name: value.numpy() for name, value in smirk().items()})
    return folder / "smirk.npz"


def _write_pixel3dmm(folder: Path) -> Path:
    torch.save(pixel3dmm(1), folder / "00001.frame")
    return folder / "00001.frame"


def subjects() -> list[Subject]:
    """All subjects of this module."""
    return [
        Subject("networks: task", "npy", _write_task, _read(*_NAMES)),
        Subject("networks: npz", "npz", _write_npz, _read(*_NAMES)),
        Subject("networks: tflite", "npy", _write_tflite, _read("selfie_segmentation")),
        Subject("cameras: opencv", "json", _write_cameras("cameras.json", opencv_json), _read_cameras),
        Subject("cameras: transforms", "json", _write_cameras("transforms.json", transforms), _read_cameras),
        Subject("cameras: nersemble", "json", _write_cameras("camera_params.json", _nersemble), _read_cameras),
        Subject("heads: SHeaP", "torch", _write_sheap, read_heads, optional=frozenset({"flame_params/eyelids"})),
        Subject("heads: SMIRK", "npz", _write_smirk, read_heads, optional=frozenset({"eyelid_params", "cam"})),
        Subject("heads: Pixel3DMM", "torch", _write_pixel3dmm, read_heads,
                optional=frozenset({"flame/eyelids", "flame/R_rotation_matrix"})),
    ]  # fmt: skip
