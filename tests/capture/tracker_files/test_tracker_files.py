"""Heads of other trackers: each lands on the pixels where its program saw it; broken files are refused one by one."""

from __future__ import annotations

import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sage_ns.capture.tracker_files import TrackedHeads, read_heads, tracker_file
from sage_ns.capture.tracker_files.pixel3dmm import read_pixel3dmm
from sage_ns.errors import HeadModelError, SageError
from sage_ns.rig import pose_vertices
from tests.capture.tracker_files.written import (
    COUNT,
    LIDS,
    SIDE,
    flame,
    metrical,
    person,
    pixel3dmm,
    pixel3dmm_pixels,
    rows_of,
    sheap,
    sheap_pixels,
    smirk,
    smirk_pixels,
    world_to_camera,
    write_frames,
)
from tests.tiny import tiny_head_model


def seen(heads: TrackedHeads) -> np.ndarray:
    """Vertices before the camera: x to the right and y down, per metre of distance."""
    vertices = pose_vertices(flame(), heads.on(flame())).double().numpy()
    assert (vertices[:, :54, 2] < 0).all()
    return vertices[:, :54, :2] / -vertices[:, :54, 2:] * np.array([1.0, -1.0])


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def test_sheap_sees_the_head_where_its_camera_does(tmp_path: Path) -> None:
    heads = read_heads(saved(tmp_path / "sheap.pt", sheap()))
    focal = 112 / np.tan(np.radians(14.2539) / 2)
    np.testing.assert_allclose(112 + focal * seen(heads), sheap_pixels()[:, :54], atol=2e-3)
    assert heads.program == "SHeaP" and "NC" in heads.licence and heads.place == "crop"


def test_sheaps_first_eyelid_is_the_right_one(tmp_path: Path) -> None:
    """The direction 0 of its eyelids moves vertices at x < 0."""
    heads = read_heads(saved(tmp_path / "sheap.pt", sheap(eyelids=torch.tensor([[1.0, 0.0]] * COUNT))))
    assert heads.eyelids.tolist() == [[0.0, 1.0]] * COUNT


def test_smirk_sees_the_head_by_parallel_rays(tmp_path: Path) -> None:
    heads = read_heads(saved(tmp_path / "smirk.pt", smirk()))
    vertices = pose_vertices(flame(), heads.on(flame())).double().numpy()[:, :54]
    found = 112 * (1 + 9.0 * (vertices[..., :2] + np.array([0.01, 0.02])) * np.array([1.0, -1.0]))
    np.testing.assert_allclose(found, smirk_pixels()[:, :54], atol=2e-3)
    torch.testing.assert_close(heads.eyelids, LIDS)
    assert heads.program == "SMIRK" and heads.place == "none"


def test_pixel3dmms_head_turns_about_the_origin_and_moves_before_its_camera(tmp_path: Path) -> None:
    heads, lens = read_pixel3dmm(write_frames(tmp_path / "clip", pixel3dmm))
    found = SIDE * (lens[:, None, 1:].numpy() + lens[:, None, :1].numpy() * seen(heads))
    np.testing.assert_allclose(found, pixel3dmm_pixels()[:, :54], atol=2e-3)
    torch.testing.assert_close(heads.eyelids, LIDS)
    assert heads.frames.tolist() == [0, 1, 2] and heads.place == "room"


def test_metrical_trackers_head_rests_before_a_moving_camera(tmp_path: Path) -> None:
    heads = read_heads(write_frames(tmp_path / "actor", metrical))
    rest = torch.zeros(COUNT, 3)
    still = replace(person(), rotation=rest, neck_pose=rest, translation=rest)
    for moment, vertices in enumerate(pose_vertices(flame(), still).numpy()):
        R, t = world_to_camera(moment)
        x, y, z = (vertices[:54] @ R.T + t).T
        np.testing.assert_allclose(seen(heads)[moment], np.stack([x / -z, y / z], axis=1), atol=2e-5)


def test_results_in_one_file_in_a_list_and_in_a_folder_are_the_same(tmp_path: Path) -> None:
    listed = rows_of(sheap())
    results = [{"frame_idx": 5 + row, "bbox": (0, 0, 9, 9), "flame_params": each} for row, each in enumerate(listed)]
    (tmp_path / "folder").mkdir()
    for row, each in enumerate(listed):
        np.savez(tmp_path / "folder" / f"{row + 1}.npz", **{name: value.numpy() for name, value in each.items()})
    np.savez(tmp_path / "all.npz", **{name: value.numpy() for name, value in sheap().items()})
    half = {name: value.bfloat16() for name, value in sheap().items()}
    paths = [saved(tmp_path / "dict.pt", sheap()), saved(tmp_path / "list.pth", listed),
             saved(tmp_path / "results.pt", results), tmp_path / "folder", tmp_path / "all.npz"]  # fmt: skip
    for path in paths:
        torch.testing.assert_close(read_heads(path).params.motion_vector(), read_heads(paths[0]).params.motion_vector())
    assert read_heads(paths[2]).frames.tolist() == [5, 6, 7] and read_heads(paths[3]).frames.tolist() == [1, 2, 3]
    rough = read_heads(saved(tmp_path / "half.pt", half)).params
    torch.testing.assert_close(rough.expr, person().expr, atol=5e-3, rtol=0)


def test_people_are_the_mean_over_their_pictures(tmp_path: Path) -> None:
    shapes = torch.zeros(COUNT, 300)
    shapes[:, 0] = torch.tensor([0.0, 1.0, 2.0])
    assert float(read_heads(saved(tmp_path / "a.pt", smirk(shape_params=shapes))).params.shape[0]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (sheap(jaw_pose=None), r"'jaw_pose': found nothing"),
        (sheap(expr=torch.zeros(COUNT, 50)), r"'expr': found shape \[3, 50\]"),
        (sheap(neck_pose=torch.zeros(2, 3)), r"'neck_pose': found shape \[2, 3\]"),
        (sheap(cam_trans=torch.full((COUNT, 3), torch.nan)), r"'cam_trans': found 9 non-finite"),
        (sheap(cam_trans=torch.full((COUNT, 3), 900.0)), r"'translation': found .* metres"),
        (sheap(torso_pose=torch.full((COUNT, 3), 30.0)), r"'rotation': found 30 rad; these look like degrees"),
        (sheap(shape_from_facenet=torch.full((COUNT, 300), 1e4)), r"'shape': found 1e\+04"),
        (sheap(eyelids=torch.full((COUNT, 2), 50.0)), r"eyelids have the coefficients"),
        (smirk(pose_params=torch.zeros(COUNT, 6)), r"'pose_params': found shape"),
        (smirk(expression_params=torch.zeros(COUNT, 50, dtype=torch.complex64)), r"found type complex64"),
        ({name: value[:0] for name, value in smirk().items()}, r"found no pictures"),
        ([smirk(), "text"], r"entry 1: found str, expected a dict of SMIRK's results"),
        ({"pose": 1}, r"found no heads of a tracker"),
    ],
)
def test_broken_results_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(SageError, match=message) as error:
        read_heads(saved(tmp_path / "broken.pt", content))
    assert "broken.pt" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pixel3dmm(0, R=None), r"'flame.R': found nothing"),
        (pixel3dmm(0, neck=np.zeros((1, 6))), r"'flame.neck' is not a 6D rotation"),
        (pixel3dmm(0, t=np.full((1, 3), 1e6)), r"'flame.t': found numbers up to 1e\+06"),
        (pixel3dmm(0, exp=np.full((1, 100), np.inf)), r"'flame.exp': found 100 non-finite"),
        (pixel3dmm(0, shape=np.zeros((1, 100))), r"'flame.shape': found shape \[1, 100\]"),
        (pixel3dmm(0, camera={"R_base_0": -np.eye(3)[None]}), r"'camera.R_base_0' has no rotation"),
        (pixel3dmm(0, camera={"fl": np.array([[-1.0]])}), r"'camera.fl': found -1"),
        (pixel3dmm(0, camera={"pp": np.array([[3.0, 0.0]])}), r"'camera.fl': found 3.5 and 'camera.pp' \[3"),
        ({**pixel3dmm(0), "img_size": np.array([256, 128])}, r"'img_size': found \[256.0, 128.0\]"),
    ],
)
def test_broken_checkpoints_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = saved(tmp_path / "00000.frame", content)
    with pytest.raises(SageError, match=message) as error:
        read_heads(path)
    assert str(path) in str(error.value) and tracker_file(path).name == "Pixel3DMM"


def test_coefficients_on_another_head_model_are_refused(tmp_path: Path) -> None:
    heads = read_heads(saved(tmp_path / "sheap.pt", sheap()))
    with pytest.raises(HeadModelError, match=r"sheap.pt: SHeaP .* head model 'tiny': found 54 vertices, expected 5023"):
        heads.on(tiny_head_model())
    named = replace(flame(), expression_names=tuple(f"e{each}" for each in range(100)))
    with pytest.raises(HeadModelError, match="names of their own"):
        heads.on(named)
    for name in ("flame2023", "FLAME2023 Open", "flame2023_no_jaw"):
        with pytest.raises(HeadModelError, match=f"'{name}', which is another FLAME by its name"):
            heads.on(flame(name))


def test_pixel3dmm_whose_jaw_never_turns_has_run_on_flame_without_jaw(tmp_path: Path) -> None:
    rest = np.array([[1.0, 0, 0, 0, 1, 0]])
    heads = read_heads(write_frames(tmp_path / "clip", lambda moment: pixel3dmm(moment, jaw=rest)))
    assert heads.on(flame("flame2023_no_jaw")).num_timesteps == COUNT
    with pytest.raises(HeadModelError, match="FLAME 2023 no jaw, which mean nothing on head model 'generic_model'"):
        heads.on(flame())


def test_no_code_of_a_file_runs(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "harm"),)

    for name, text in (("a.pt", "torso_pose expr"), ("a.frame", "R_base_0")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({text: Harm(), "torso_pose": 0, "expr": 0}))
        with pytest.raises(SageError, match=name):
            read_heads(tmp_path / name)
    assert not (tmp_path / "harm").exists()


def test_what_is_no_tracker_file_is_refused_with_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("text")
    for name in ("", "text.pt", "missing.pt"):
        with pytest.raises(SageError, match=r"Give a folder of Pixel3DMM's .* or a folder of metrical-tracker's"):
            read_heads(tmp_path / name)
