"""Soft masks: which way is taken, what each does, and where the head ends."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.errors import SageError
from sage_ns.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from sage_ns.raster.cameras import project
from sage_ns.rig import FlameParams, pose_vertices
from sage_ns.synthetic.head import builtin_head
from sage_ns.tracking.focal import FocalLength
from sage_ns.tracking.foreground import Scene, choose_way, on_white, read_mask, soft_matte, ways
from sage_ns.tracking.head_area import head_area, heights, silhouette
from sage_ns.tracking.photo import Photo
from sage_ns.tracking.window import Window, head_window
from tests.tiny import tiny_head_model

SHAPE = (60, 50)
WALL = np.array([90, 120, 60])


def disc(radius: float, column: float = 25.0) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    return (np.hypot(rows - 30, columns - column) < radius).astype(float)


def scene(tmp_path: Path, alpha: bool = False, **given: object) -> Scene:
    """A reddish disc of 18 px before a wall; the rig's silhouette has 14 px, and the network finds 17 px."""
    pixels = np.where(disc(18)[..., None] > 0, [200, 120, 110], WALL).astype(np.uint8)
    photo = Photo(
        tmp_path / "photo.png",
        pixels,
        np.round(255 * disc(18)).astype(np.uint8) if alpha else None,
        FocalLength(100.0, 0.3, "guess"),
        "0" * 64,
    )
    plain = Scene(photo, Window(0, 0, 50, 60, 1), disc(14), lambda picture: disc(17)[: len(picture)])
    return replace(plain, **given)  # type: ignore[arg-type]


def test_what_the_user_gave_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "file.png"
    assert choose_way(scene(tmp_path)).name == "segmentation"
    assert choose_way(scene(tmp_path, alpha=True)).name == "alpha"
    assert choose_way(scene(tmp_path, alpha=True, plate=file)).name == "plate"
    assert choose_way(scene(tmp_path, alpha=True, mask=np.zeros((60, 50), np.uint8))).name == "mask"
    assert [way.name for way in ways.entries() if way.caveat] == ["alpha", "plate", "segmentation"]


def test_a_given_mask_is_used_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.round(200 * disc(10)).astype(np.uint8)).save(path)
    photo = scene(tmp_path).photo
    found = ways["mask"].matte(scene(tmp_path, mask=read_mask(path, photo)))
    np.testing.assert_allclose(found, disc(10) * 200 / 255, atol=1e-6)


def test_files_of_another_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    Image.new("L", (20, 20), 255).save(path)
    with pytest.raises(SageError, match=r"small\.png has 20 x 20 px, the photo .* 50 x 60 px"):
        ways["plate"].matte(scene(tmp_path, plate=path))
    with pytest.raises(SageError, match=r"small\.png has 20 x 20 px, the photo .* 50 x 60 px"):
        read_mask(path, scene(tmp_path).photo)


def test_a_clean_plate_shows_who_came_in_also_at_another_exposure(tmp_path: Path) -> None:
    path = tmp_path / "plate.png"
    Image.fromarray(np.broadcast_to(np.round(0.8 * WALL), (*SHAPE, 3)).astype(np.uint8)).save(path)
    found = ways["plate"].matte(scene(tmp_path, plate=path))
    np.testing.assert_allclose(found, disc(18), atol=0.1)


def test_segmentation_joins_the_rig_and_leaves_other_people_out(tmp_path: Path) -> None:
    other = disc(3, column=47.0)

    def segment(picture: np.ndarray) -> np.ndarray:
        return np.maximum(disc(17) * (1 - disc(6)), other)  # a hole in the face, and a bystander

    found = ways["segmentation"].matte(scene(tmp_path, segment=segment))
    assert found[30, 25] == 1.0 and found[30, 46] == 0.0
    np.testing.assert_array_equal(found[disc(10) > 0], 1.0)


def test_soft_mattes_follow_the_picture() -> None:
    picture = np.where(disc(18)[..., None] > 0, 0.8, 0.2) * np.ones(3)
    found = soft_matte(disc(17), picture)
    assert found[30, 25] == 1.0 and found[2, 2] == 0.0
    assert np.abs(found - disc(18)).mean() < np.abs(disc(17) - disc(18)).mean()


def test_on_white_takes_the_old_background_out_of_the_border() -> None:
    matte = np.clip(18.5 - np.hypot(*(np.mgrid[:60, :50] + 0.5 - np.array([30, 25])[:, None, None])), 0, 1)
    color = np.array([0.8, 0.4, 0.3])
    dark = matte[..., None] * color
    found = on_white(dark, matte)
    expected = matte[..., None] * color + 1 - matte[..., None]
    np.testing.assert_allclose(found[matte == 0], 1.0)
    np.testing.assert_allclose(found[matte == 1], dark[matte == 1], atol=1e-6)
    assert np.abs(found - expected).max() < 0.08


def test_a_window_has_room_for_hair_whole_blocks_and_the_same_camera() -> None:
    window = head_window(np.array([[400.0, 300.0], [600.0, 700.0]]), (1000, 1200), 200)
    assert (window.left, window.top, window.factor) == (280, 200, 3)
    point = torch.tensor([[0.03, 0.02, -0.7]])
    whole = Window(0, 0, 1000, 1200, 1).camera(900.0, (1000, 1200))
    part = window.camera(900.0, (1000, 1200))
    expected = (project(point, whole).pixels - torch.tensor([280.0, 200.0])) / 3
    torch.testing.assert_close(project(point, part).pixels, expected)
    ramp = np.arange(1200)[:, None] * np.ones((1, 1000))
    assert window.cut(ramp)[0, 0] == pytest.approx(201.0)


@pytest.mark.parametrize("yaw", [-60, -30, 0, 30, 60])
@pytest.mark.parametrize("pitch", [-25, 0, 25])
def test_the_whole_skull_of_a_head_that_turns_and_bows_is_in_its_area(yaw: int, pitch: int) -> None:
    model, neutral = builtin_head(), FlameParams.neutral(builtin_head())
    turned = replace(
        neutral,
        rotation=matrix_to_axis_angle(_turn(0, pitch) @ _turn(1, yaw))[None],
        translation=torch.tensor([[0.0, 0.0, -1.0]]),
    )
    vertices = pose_vertices(model, turned)[0]
    camera = Window(0, 0, 200, 240, 1).camera(420.0, (200, 240))
    pixels = project(vertices, camera).pixels
    face = model.regions.vertices("face")
    chin = pixels[face[model.v_template[face, 1].argmin()]]
    shape = silhouette(vertices, model, camera)
    height = heights(vertices, model, camera, chin)
    area = head_area(height, shape)
    for name in ("scalp", "left_ear", "right_ear", "forehead"):
        at = pixels[model.regions.vertices(name)].round().long()
        assert float(area[at[:, 1], at[:, 0]].min()) == 1.0
    end = pixels[model.regions.vertices("boundary")]
    below = end.mean(dim=0) + 0.03 * height.per_metre * _down_in_picture(turned)
    row, column = below.round().long().flip(0).tolist()
    if 0 <= row < 240 and 0 <= column < 200 and abs(pitch) < 20:
        assert area[row, column] == 0.0


def _turn(axis: int, degrees: int) -> torch.Tensor:
    way = torch.zeros(3)
    way[axis] = math.radians(degrees)
    return axis_angle_to_matrix(way)


def _down_in_picture(params: FlameParams) -> torch.Tensor:
    way = -axis_angle_to_matrix(params.rotation[0])[:2, 1] * torch.tensor([1.0, -1.0])
    return way / way.norm()


def test_the_head_area_has_hair_above_and_ends_at_the_neck() -> None:
    model = tiny_head_model()
    vertices = model.v_template + torch.tensor([0.0, 0.0, -1.0])
    camera = Window(0, 0, 120, 140, 1).camera(320.0, (120, 140))
    shape = silhouette(vertices, model, camera)
    pixels = project(vertices, camera).pixels
    chin = project(torch.tensor([[0.0, -0.07, -1.0]]), camera).pixels[0]
    area = head_area(heights(vertices, model, camera, chin), shape)
    top, bottom = int(pixels[:, 1].min()), int(pixels[:, 1].max())
    assert area[top - 10, 60] == 1.0
    assert area[int(chin[1]) - 10, 60] == 1.0
    assert not area[bottom + 2 :].any()
    assert area[bottom - 6, 5] == 0.0  # a shoulder
    assert area[70, 60] == 1.0
