"""Recordings of MediaPipe's scores, as JSON lines and as csv."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sage_ns.errors import CaptureError
from sage_ns.geometry import axis_angle_to_matrix
from sage_ns.motion.face.arkit import arkit_motion
from sage_ns.motion.files import load_motion, registry
from sage_ns.motion.files.mediapipe_scores import MEDIAPIPE_NAMES
from sage_ns.rig.front import face_direction
from sage_ns.synthetic.head import builtin_head

HEAD = builtin_head()
MOMENTS: list[dict[str, float]] = [{"jawOpen": 0.5, "_neutral": 0.1}, {"mouthSmileLeft": 0.25}, {}]
NUMBERS = [[moment.get(name, 0.0) for name in MEDIAPIPE_NAMES] for moment in MOMENTS]


def expected() -> torch.Tensor:
    return torch.cat([arkit_motion(moment, HEAD).motion_vector() for moment in MOMENTS])


def lines(path: Path, *entries: Any) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def test_there_are_mediapipes_52_names() -> None:
    assert len(MEDIAPIPE_NAMES) == 52
    assert (MEDIAPIPE_NAMES[1], MEDIAPIPE_NAMES[9], MEDIAPIPE_NAMES[25], MEDIAPIPE_NAMES[51]) == (
        "browDownLeft", "eyeBlinkLeft", "jawOpen", "noseSneerRight"
    )  # fmt: skip


@pytest.mark.parametrize(
    "entries",
    [
        MOMENTS,
        [{"blendshapes": moment} for moment in MOMENTS],
        [{"blendshapes": numbers, "frame": 3} for numbers in NUMBERS],
        [{"face_blendshapes": [numbers]} for numbers in NUMBERS],
        [
            {"blendshapes": [{"category_name": n, "score": s} for n, s in zip(MEDIAPIPE_NAMES, row, strict=True)]}
            for row in NUMBERS
        ],
        [
            {"faceBlendshapes": [[{"categoryName": n, "score": s} for n, s in zip(MEDIAPIPE_NAMES, row, strict=True)]]}
            for row in NUMBERS
        ],
    ],
)
def test_json_lines(tmp_path: Path, entries: list[Any]) -> None:
    motion = load_motion(lines(tmp_path / "scores.jsonl", *entries), HEAD)
    torch.testing.assert_close(motion.vectors, expected(), atol=1e-6, rtol=0)
    assert motion.fps is None and motion.notes == ()


def test_time_head_and_lost_faces(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "scores.jsonl",
        {"jawOpen": 0.5, "head": [0.0, 0.2, 0.0], "timestamp_ms": 1000},
        {"blendshapes": [], "timestamp_ms": 1040},
        {"blendshapes": None, "timestamp_ms": 1080},
        {"jawOpen": None, "head": [0.0, -0.2, 0.0], "timestamp_ms": 1120},
    )
    motion = load_motion(path, HEAD)
    assert motion.fps == pytest.approx(25.0)
    assert len(set(motion.params.jaw_pose[:, 0].tolist())) == 1 and motion.params.jaw_pose[0, 0] > 0.1
    assert motion.params.neck_pose[:, 1].tolist() == pytest.approx([0.2, 0.2, 0.2, -0.2])
    assert any("3 of 4 moments have no scores" in note for note in motion.notes)


def _matrix(turn: list[float]) -> np.ndarray:
    """Of a face 40 cm before the camera that is turned and a little larger than the canonical one."""
    matrix = np.eye(4)
    matrix[:3, :3] = 1.1 * axis_angle_to_matrix(torch.tensor(turn)).numpy()
    matrix[:3, 3] = (1.0, -2.0, -40.0)
    return matrix


def test_matrices_turn_the_head_in_both_languages(tmp_path: Path) -> None:
    """Python states rows, JavaScript columns; a nose at +z of the canonical face comes to where the neck turns it."""
    turns = [[0.1, 0.4, -0.05], [0.0, -0.3, 0.1]]
    python = [{"jawOpen": 0.5, "facial_transformation_matrixes": [_matrix(turn).tolist()]} for turn in turns]
    categories = [{"categories": [{"categoryName": "jawOpen", "score": 0.5, "index": 25}], "headIndex": -1}]
    javascript = [
        {"faceBlendshapes": categories,
         "facialTransformationMatrixes": [{"rows": 4, "columns": 4, "data": _matrix(turn).T.flatten().tolist()}]}
        for turn in turns
    ]  # fmt: skip
    for name, entries in (("python", python), ("javascript", javascript)):
        found = load_motion(lines(tmp_path / f"{name}.jsonl", *entries), HEAD).params
        for row, turn in enumerate(turns):
            torch.testing.assert_close(found.neck_pose[row], torch.tensor(turn), atol=1e-5, rtol=0)
            nose = _matrix(turn) @ np.array([0.0, 0.0, 1.0, 0.0]) / 1.1
            np.testing.assert_allclose(face_direction(found.motion_vector()[row]).numpy(), nose[:3], atol=1e-5)


def _with_matrix(value: Any) -> str:
    return json.dumps({"jawOpen": 0.1, "facial_transformation_matrixes": value}) + "\n"


MIRRORED = np.diag([-1.0, 1.0, 1.0, 1.0]) @ _matrix([0.0, 0.1, 0.0])
STRETCHED = _matrix([0.0, 0.1, 0.0]) @ np.diag([2.0, 1.0, 1.0, 1.0])


def test_csv_with_a_header_of_names(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    rows = [["timestamp_ms", "file", *MEDIAPIPE_NAMES], *([40 * i, "a.png", *row] for i, row in enumerate(NUMBERS))]
    path.write_text("\n".join(",".join(map(str, row)) for row in rows))
    motion = load_motion(path, HEAD)
    torch.testing.assert_close(motion.vectors, expected(), atol=1e-6, rtol=0)
    assert motion.fps == pytest.approx(25.0)
    assert motion.notes == ("columns that are no blendshapes are ignored: file",)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"jawOpen": 0.1}\n{"jawOpen": \n', "line 2: not a JSON object"),
        ('{"jawOpen": 0.1}\n[0.1]\n', "line 2: found list, expected a JSON object"),
        ('{"jawOpen": 0.1}\n{"jawOpne": 0.1}\n', "line 2: 'jawOpne' is not one of ARKit's 52 blendshapes"),
        ('{"jawOpen": "wide"}\n', "line 1: 'jawOpen': found 'wide', expected a number"),
        ('{"jawOpen": 1e999}\n', "line 1: 'jawOpen': found 'inf', expected a number"),
        ('{"jawOpen": 1' + 400 * "0" + "}\n", "line 1: 'jawOpen': found '1000"),
        ('{"jawOpen": true}\n', "line 1: 'jawOpen': found 'True', expected a number"),
        ('{"jawOpen": 40}\n', "line 1: 'jawOpen': found 40, expected 0..1: divide percentages by 100"),
        ('{"blendshapes": [0.1, 0.2]}\n', "line 1: 'blendshapes': found list, expected scores by name, or the 52"),
        ('{"jawOpen": 0.1, "head": [0, 1]}\n', "line 1: 'head': found [0, 1], expected [x, y, z]"),
        (_with_matrix([[1.0, 0.0], [0.0, 1.0]]), "line 1: 'facial_transformation_matrixes': found [[1.0"),
        (_with_matrix(MIRRORED.tolist()), "expected a rotation, a scale and a translation"),
        (_with_matrix(STRETCHED.tolist()), "expected a rotation, a scale and a translation"),
        (_with_matrix(np.eye(4).tolist()), "and a translation, which is not 0"),
        (_with_matrix([None] * 16), "expected a rotation, a scale and a translation"),
        ('{"jawOpen": 0.1}\n' + 100000 * "[" + "\n", "line 2: not a JSON object"),
        ('{"jawOpen": null}\n', "'jawOpen': found no value in any moment"),
    ],
)
def test_broken_recordings_are_refused_by_line(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text(text)
    with pytest.raises(CaptureError) as error:
        load_motion(path, HEAD)
    assert str(path) in str(error.value) and named in str(error.value)


def test_a_head_that_turns_in_degrees_is_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "scores.jsonl", *({"jawOpen": 0.1, "head": [0, 20, 0]} for _ in range(3)))
    with pytest.raises(
        Exception, match=r"scores\.jsonl: timestep 0: 'neck_pose': found 20 rad; these look like degrees"
    ):
        load_motion(path, HEAD)


@pytest.mark.parametrize("text", ['{"frames": [], "w": 3}\n', "{\n", "a,b,c\n1,2,3\n", "", "\0\0", "null\n"])
def test_other_files_are_not_recordings(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(CaptureError, match=r"other\.json: a file of the unknown kind"):
        registry.reader_for(path)
