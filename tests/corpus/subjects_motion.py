"""Subjects of motion: every registered format, driving banks, camera paths and films."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sage_ns.motion.bank import DrivingBank
from sage_ns.motion.files import load_motion
from sage_ns.motion.files.mediapipe_scores import MEDIAPIPE_NAMES
from sage_ns.rig import HeadModel
from sage_ns.synthetic.head import builtin_head
from sage_ns.video.camera_paths import read_camera_path
from sage_ns.video.footage import given_footage
from tests.corpus.subject import Subject
from tests.motion.files.test_metrical_tracker import checkpoint
from tests.motion.files.written import MODEL, PARAMS, arrays, live_link_face, write_npz
from tests.tiny_capture import write_tiny_capture

_UNUSED = frozenset({"shape", "static_offset", "dynamic_offset"})
"""Whose head it was does not matter."""


@cache
def _head() -> HeadModel:
    return builtin_head(2)


def _write_sequence(folder: Path) -> Path:
    return write_npz(folder / "driver.npz", **arrays())


def _write_folder(folder: Path) -> Path:
    PARAMS.save_vhap(folder / "flame_param")
    return folder / "flame_param" / "00002.npz"


def _write_export(folder: Path) -> Path:
    return write_tiny_capture(folder, num_timesteps=3) / "transforms_train.json"


def _write_vhap_tracker(folder: Path) -> Path:
    extra = {"timestep_id": np.array(list("abcd")), "n_processed_frames": np.array(3)}
    return write_npz(folder / "tracked_flame_params_30.npz", **arrays(), **extra)


def _write_metrical_tracker(folder: Path) -> Path:
    (folder / "checkpoint").mkdir(parents=True)
    for row in range(3):
        torch.save(checkpoint(row), folder / "checkpoint" / f"{row:05d}.frame")
    return folder / "checkpoint" / "00001.frame"


def _write_live_link(folder: Path) -> Path:
    return live_link_face(folder / "face.csv", [{"jawOpen": 0.1 * row, "eyeBlinkLeft": 0.5} for row in range(6)])


def _scores() -> list[dict[str, float]]:
    return [{"jawOpen": 0.1 * row, "mouthSmileLeft": 0.25, "_neutral": 0.125} for row in range(6)]


def _write_json_lines(folder: Path) -> Path:
    path = folder / "scores.jsonl"
    lines = [{"blendshapes": moment, "timestamp_ms": 33 * row} for row, moment in enumerate(_scores())]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def _write_score_csv(folder: Path) -> Path:
    path = folder / "scores.csv"
    rows = [",".join(MEDIAPIPE_NAMES)]
    rows += [",".join(str(moment.get(name, 0.0)) for name in MEDIAPIPE_NAMES) for moment in _scores()]
    path.write_text("\n".join(rows) + "\n")
    return path


def _motion(path: Path, head: HeadModel = MODEL) -> Any:
    motion = load_motion(path, head)
    return motion.params, motion.timesteps, motion.sequences, motion.fps


def _bank(path: Path) -> Any:
    bank = DrivingBank.from_sources([path], PARAMS.motion_vector()[0], MODEL)
    return bank.motion.params, bank.motion.sequences, bank.ranges()


def _write_bank(folder: Path) -> Path:
    source = write_npz(folder / "source.npz", **arrays())
    DrivingBank.from_sources([source], PARAMS.motion_vector()[0], MODEL).save(folder / "driving_bank.npz")
    return folder / "driving_bank.npz"


def _write_camera_path(folder: Path) -> Path:
    pose = [1.0, 0.0, 0.0, 0.1, 0.0, 1.0, 0.0, 0.2, 0.0, 0.0, 1.0, 0.9, 0.0, 0.0, 0.0, 1.0]
    cameras = [{"camera_to_world": pose, "fov": 30.0, "aspect": 1.0, "render_time": 0.1 * row} for row in range(3)]
    content = {
        **{"camera_type": "perspective", "render_width": 64, "render_height": 48, "fps": 25, "seconds": 3},
        **{"is_cycle": False, "smoothness_value": 0.5, "camera_path": cameras},
    }
    path = folder / "path.json"
    path.write_text(json.dumps(content))
    return path


def _write_film(folder: Path) -> Path:
    from sage_ns.video.writer import write_pictures

    generator = torch.Generator().manual_seed(0)
    frames = [torch.rand(48, 64, 3, generator=generator) for _ in range(8)]
    write_pictures(folder / "film.mp4", frames, fps=25)
    return folder / "film.mp4"


def _read_film(path: Path) -> Any:
    footage = given_footage(path, 8)
    return [np.asarray(footage.at(row, row / 25)).shape for row in (0, 7)]


def subjects() -> list[Subject]:
    """All subjects of this module."""
    sequence = frozenset({*_UNUSED, "sequences", "timesteps", "neck_pose", "rotation", "translation"})
    return [
        Subject("motion: npz of a sequence", "npz", _write_sequence, _motion, optional=_UNUSED),
        Subject("motion: npz folder", "npz", _write_folder, lambda path: _motion(path.parent), optional=_UNUSED,
                named=("given", "flame_param", "00000.npz"),
                verdicts={"missing": ("any", "a folder of fewer moments")}),
        Subject("motion: VHAP export", "json", _write_export, lambda path: _motion(path.parent),
                optional=frozenset({"frames.transform_matrix"}), named=("given", "transforms", ".npz"),
                verdicts={"missing": ("any", "transforms.json is enough")}),
        Subject("motion: VHAP tracker", "npz", _write_vhap_tracker, _motion,
                optional=_UNUSED | {"timestep_id", "n_processed_frames"}),
        Subject("motion: metrical-tracker", "torch", _write_metrical_tracker,
                lambda path: _motion(path.parent.parent), optional=frozenset({"flame/eyelids", "flame/shape"}),
                named=("given",), verdicts={"missing": ("any", "a folder of fewer moments")}),
        Subject("motion: Live Link Face", "csv", _write_live_link, lambda path: _motion(path, _head())),
        Subject("motion: MediaPipe's JSON lines", "jsonl", _write_json_lines, lambda path: _motion(path, _head())),
        Subject("motion: MediaPipe's csv", "csv", _write_score_csv, lambda path: _motion(path, _head())),
        Subject("driving bank", "npz", _write_bank, _bank, optional=sequence),
        Subject("camera path", "json", _write_camera_path, read_camera_path),
        Subject("film", "film", _write_film, _read_film,
                verdicts={"in its place: a picture": ("any", "a film of one picture")}),
    ]  # fmt: skip
