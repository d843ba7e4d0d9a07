"""Motion of other trackers' heads: the same motion as was written, on the FLAME that they fitted alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sage_ns.errors import HeadModelError
from sage_ns.geometry import axis_angle_to_matrix
from sage_ns.motion.files import load_motion
from sage_ns.motion.files.registry import reader_for
from sage_ns.rig import HeadModel, pose_vertices
from sage_ns.rig.eyelids import with_eyelids
from tests.capture.tracker_files.written import (
    COUNT,
    LIDS,
    flame,
    person,
    pixel3dmm,
    rows_of,
    sheap,
    smirk,
    world_to_camera,
    write_frames,
)
from tests.tiny import tiny_head_model


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """What each program has found, by its name."""
    (tmp_path / "smirk").mkdir()
    for row, each in enumerate(rows_of(smirk())):
        torch.save(each, tmp_path / "smirk" / f"{row + 7}.pt")
    torch.save(sheap(), tmp_path / "sheap.pt")
    frames = write_frames(tmp_path / "clip", pixel3dmm)
    return {"SHeaP": tmp_path / "sheap.pt", "SMIRK": tmp_path / "smirk", "Pixel3DMM": frames}


@pytest.mark.parametrize("program", ["SHeaP", "SMIRK", "Pixel3DMM"])
def test_the_motion_is_that_of_the_file(files: dict[str, Path], program: str) -> None:
    assert reader_for(files[program]).name == program
    found, expected = load_motion(files[program], flame()), person()
    if program == "SMIRK":
        rest, expr = torch.zeros(COUNT, 3), torch.cat([expected.expr[:, :50], torch.zeros(COUNT, 50)], dim=1)
        expected = replace(expected, neck_pose=rest, eyes_pose=torch.zeros(COUNT, 6), expr=expr)
        assert found.timesteps.tolist() == [7, 8, 9]
    for name in ("expr", "neck_pose", "jaw_pose", "eyes_pose"):
        torch.testing.assert_close(getattr(found.params, name), getattr(expected, name), atol=1e-5, rtol=0)
    turns = axis_angle_to_matrix(expected.rotation)
    if program == "Pixel3DMM":
        turns = torch.stack([torch.from_numpy(world_to_camera(row)[0]) for row in range(COUNT)]) @ turns
    torch.testing.assert_close(axis_angle_to_matrix(found.params.rotation), turns, atol=1e-5, rtol=0)
    assert f"{program} moved the eyelids at 1 of 3 timesteps" in found.notes[0]
    assert not load_motion(files[program]).params.translation.any()


def test_a_head_before_a_camera_at_rest_moves_as_it_did(files: dict[str, Path]) -> None:
    """Pixel3DMM turns heads about the origin; vertices of the same person move alike, but for where their mean is."""

    def moved(vertices: Tensor) -> Tensor:
        return vertices - vertices[:1]

    params = replace(load_motion(files["Pixel3DMM"], flame()).params, shape=person().shape)
    found = pose_vertices(flame(), params)[:, :54]
    rest = torch.zeros(COUNT, 3)
    still = replace(person(), rotation=rest, translation=rest)
    expected = []
    for row, vertices in enumerate(pose_vertices(flame(), still)[:, :54]):
        R, t = (torch.from_numpy(each) for each in world_to_camera(row))
        turn = axis_angle_to_matrix(person().rotation[row])
        expected.append((vertices @ turn.T + person().translation[row]) @ R.T + t)
    torch.testing.assert_close(moved(found), moved(torch.stack(expected)), atol=2e-5, rtol=0)
    assert not load_motion(files["SHeaP"], flame()).params.translation.any()  # of a crop that follows the head


@pytest.mark.parametrize("program", ["SHeaP", "SMIRK", "Pixel3DMM"])
def test_rigs_with_eyelids_close_the_eye_that_was_closed(files: dict[str, Path], program: str) -> None:
    model = with_eyelids(flame(), 0.01 * torch.ones(5023, 3, 2))
    found = load_motion(files[program], model)
    torch.testing.assert_close(found.params.expr[:, -2:], LIDS)
    assert not [note for note in found.notes if "blinks are lost" in note]


def test_other_rigs_are_refused(files: dict[str, Path]) -> None:
    rigs: list[tuple[HeadModel, str]] = [
        (tiny_head_model(num_expression=100), "found 54 vertices"),
        (flame("flame2023"), "another FLAME by its name"),
    ]
    for path in files.values():
        for rig, message in rigs:
            with pytest.raises(HeadModelError, match=message):
                load_motion(path, rig)
