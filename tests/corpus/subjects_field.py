"""Subjects of the corpus: files for the field's backward warp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sage_ns.errors import FieldError
from sage_ns.field.warp.mononphm_files import read_network, read_tracking
from sage_ns.geometry.mesh_files import read_closed_surface
from tests.corpus.subject import Subject
from tests.field.warp.mononphm_made import made_up_layers, write_checkpoint, write_tracking
from tests.geometry.bumpy import bumpy_head, written_mesh


def _write_checkpoint(folder: Path) -> Path:
    return write_checkpoint(folder / "checkpoint_epoch_2500.tar", made_up_layers(outputs=3))


def _read_checkpoint(path: Path) -> Any:
    network = read_network(path)
    return network.weights, network.biases


def _write_tracking(folder: Path) -> Path:
    _write_checkpoint(folder)
    return write_tracking(folder / "person") / "00003" / "z_exp.npy"


def _read_tracking(path: Path) -> Any:
    network = read_network(path.parents[2] / "checkpoint_epoch_2500.tar")
    return [vars(frame) for frame in read_tracking(path.parents[1], network).frames.values()]


def _write_mesh(folder: Path) -> Path:
    return written_mesh(folder / "prior_mesh.ply", *bumpy_head(2))


def _read_mesh(path: Path) -> Any:
    return read_closed_surface(path, FieldError)


def subjects() -> list[Subject]:
    """All subjects of this module."""
    return [
        Subject("MonoNPHM: checkpoint", "torch", _write_checkpoint, _read_checkpoint,
                optional=frozenset({"id_decoder"})),
        Subject("MonoNPHM: tracking", "npy", _write_tracking, _read_tracking),
        # Of bytes alone: the damages of "ply" are those of splats.
        Subject("prior mesh", "npy", _write_mesh, _read_mesh),
    ]  # fmt: skip
