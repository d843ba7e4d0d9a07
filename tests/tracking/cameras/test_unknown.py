"""Cameras that COLMAP finds: what it is given, and that its result is kept for the next run on the same pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sage_ns.errors import TrackingError
from sage_ns.tracking.cameras import unknown
from sage_ns.tracking.cameras.colmap_process import FOUND
from sage_ns.tracking.cameras.unknown import solve_cameras
from tests.tracking.cameras.ring import SIZE, ring, same, write_colmap_text, write_pictures

PICTURES = [f"c{index}.png" for index in range(4)]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that COLMAP was run on; it finds the cameras of the ring."""
    seen: list[Path] = []

    def run(work: Path, folder: Path) -> None:
        seen.append(work)
        names = sorted(path.relative_to(work / "images").with_suffix("") for path in work.rglob("images/*/*.png"))
        renamed = [replace(camera, name=name.as_posix()) for camera, name in zip(ring(len(names)), names, strict=True)]
        write_colmap_text(work / FOUND, renamed)

    monkeypatch.setenv("SAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(unknown, "version", lambda package: "1.0")
    monkeypatch.setattr(unknown, "check_can_solve", lambda pictures, folder: None)
    monkeypatch.setattr(unknown, "_run", run)
    return seen


def everyone(pixels: np.ndarray) -> np.ndarray:
    return np.ones(pixels.shape[:2])


def test_cameras_are_found_once_for_the_same_pictures(tmp_path: Path, runs: list[Path]) -> None:
    write_pictures(tmp_path / "rig", PICTURES)
    pictures = sorted((tmp_path / "rig").glob("*.png"))
    first, notes = solve_cameras(pictures, tmp_path / "rig", everyone)
    again, _ = solve_cameras(pictures, tmp_path / "rig", everyone)
    assert len(runs) == 1 and notes == []
    for found in (first, again):
        assert [camera.picture for camera in found.cameras] == pictures
        same(found.cameras, ring(4))
    solve_cameras(pictures, tmp_path / "rig", everyone, focal_mm=50.0)
    assert len(runs) == 2, "another focal length is another question"
    Image.new("RGB", SIZE, "red").save(pictures[0])
    solve_cameras(pictures, tmp_path / "rig", everyone)
    assert len(runs) == 3, "another picture, too"


def test_a_run_that_finds_nothing_is_not_kept(
    tmp_path: Path, runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "rig", PICTURES)
    pictures = sorted((tmp_path / "rig").glob("*.png"))
    with monkeypatch.context() as failing:
        failing.setattr(unknown, "_run", lambda work, folder: None)
        with pytest.raises(TrackingError, match="COLMAP found the cameras of 0 of 4 pictures"):
            solve_cameras(pictures, tmp_path / "rig", everyone)
    assert len(solve_cameras(pictures, tmp_path / "rig", everyone)[0].cameras) == 4 and len(runs) == 1
