"""The command that makes the package's files of networks."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sage_ns.tracking import convert_task
from sage_ns.tracking.convert_task import main
from sage_ns.tracking.networks.files import read_graphs
from tests.tracking.tflite_writer import small_network, task


@pytest.fixture
def google(tmp_path: Path) -> Path:
    path = tmp_path / "face_landmarker.task"
    names = ("face_detector", "face_landmarks_detector", "face_blendshapes")
    path.write_bytes(task({f"{name}.tflite": small_network() for name in names}))
    return path


def test_a_file_is_converted_and_its_hash_is_told(google: Path, tmp_path: Path, capsys, monkeypatch):
    out = tmp_path / "networks.npz"
    assert main([str(google), str(out)]) == 0
    digest = hashlib.sha256(google.read_bytes()).hexdigest()
    assert f"not a file from which the package's own were made: its sha256 is {digest}" in capsys.readouterr().out
    assert set(read_graphs(out, ["face_detector"])) == {"face_detector"}
    monkeypatch.setitem(convert_task.KNOWN, digest, "a test's file")
    assert main([str(google), str(out)]) == 0
    assert f"is a test's file, from which the package's file was made (sha256 {digest})" in capsys.readouterr().out


def test_a_single_network_is_the_segmenter(tmp_path: Path):
    (tmp_path / "selfie_segmentation.tflite").write_bytes(small_network())
    assert main([str(tmp_path / "selfie_segmentation.tflite"), str(tmp_path / "out.npz")]) == 0
    assert set(read_graphs(tmp_path / "out.npz", ["selfie_segmentation"])) == {"selfie_segmentation"}


def test_bad_input_is_a_message_and_writes_nothing(google: Path, tmp_path: Path, capsys):
    assert main([str(google)]) == 2
    assert main([str(tmp_path / "absent.task"), str(tmp_path / "out.npz")]) == 1
    google.write_bytes(google.read_bytes()[:200])
    assert main([str(google), str(tmp_path / "out.npz")]) == 1
    assert "face_landmarker.task" in capsys.readouterr().err
    assert not (tmp_path / "out.npz").exists()
