"""Subjects of the corpus: files of networks that find faces and people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sage_ns.tracking.networks.files import read_graphs, write_graphs
from sage_ns.tracking.networks.network import Network
from sage_ns.tracking.networks.tflite import read_tflite
from tests.corpus.subject import Subject
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


def subjects() -> list[Subject]:
    """All subjects of this module."""
    return [
        Subject("networks: task", "npy", _write_task, _read(*_NAMES)),
        Subject("networks: npz", "npz", _write_npz, _read(*_NAMES)),
        Subject("networks: tflite", "npy", _write_tflite, _read("selfie_segmentation")),
    ]
