"""Pictures and their cameras: by name, at the stated size, one each; and cameras that look at one place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sage_ns.errors import TrackingError
from sage_ns.tracking.cameras.aim import check_aim, meeting_point, read_as, sees
from sage_ns.tracking.cameras.lens import Lens
from sage_ns.tracking.cameras.pictures import pictures_of, with_pictures
from sage_ns.tracking.cameras.rig_camera import CameraRig, RigCamera
from sage_ns.tracking.cameras.view import load_view
from tests.tracking.cameras.ring import CENTER, FLIP, FOCAL, SIZE, ring, write_pictures


def rig_of(cameras: list[RigCamera]) -> CameraRig:
    return CameraRig(tuple(cameras), 1.0, "cameras.json", "a file")


@pytest.mark.parametrize("form", ["{}.png", "cam_{}.jpg", "{}.JPG", "images/{}.png"])
def test_pictures_are_called_like_their_cameras(tmp_path: Path, form: str) -> None:
    for camera in ring(3):
        path = tmp_path / form.format(camera.name)
        write_pictures(path.parent, [path.name])
    found, notes = with_pictures(rig_of(ring(3)), tmp_path)
    assert [camera.picture for camera in found] == [tmp_path / form.format(f"c{index}") for index in range(3)]
    assert notes == []


def test_cameras_and_pictures_without_each_other_are_left_out_and_said(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["c0.png", "c1.png", "other.png"])
    found, notes = with_pictures(rig_of(ring(3)), tmp_path)
    assert [camera.name for camera in found] == ["c0", "c1"]
    assert any("left out: c2." in note for note in notes)
    assert any("left out: other.png." in note for note in notes)
    with pytest.raises(TrackingError, match=r"no camera \(a\) has a picture"):
        with_pictures(rig_of([replace(ring(3)[0], name="a")]), tmp_path)


def test_a_picture_has_one_camera_and_a_camera_one_picture(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["c0.png", "c0.jpg"])
    with pytest.raises(TrackingError, match=r"c0.jpg and c0.png are called like the camera"):
        with_pictures(rig_of(ring(3)[:1]), tmp_path)
    cameras = [replace(camera, picture=tmp_path / "c0.png") for camera in ring(3)[:2]]
    with pytest.raises(TrackingError, match=r"c0.png belongs to the camera 'c0', too"):
        with_pictures(rig_of(cameras), tmp_path)
    with pytest.raises(TrackingError, match="found no pictures"):
        pictures_of(tmp_path / "nowhere")


def test_masks_beside_the_pictures_are_used(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["c0.png", "c1.png", "c2.png"])
    write_pictures(tmp_path / "masks", ["c0.png", "c1.png.png"])
    found, _ = with_pictures(rig_of(ring(3)), tmp_path)
    assert [camera.mask for camera in found] == [tmp_path / "masks/c0.png", tmp_path / "masks/c1.png.png", None]


def test_cameras_are_scaled_to_smaller_pictures_of_the_same_shape(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["c0.png", "c1.png"], (SIZE[0] // 2, SIZE[1] // 2))
    found, notes = with_pictures(rig_of(ring(3)[:2]), tmp_path)
    assert found[0].focal == (FOCAL[0] / 2, FOCAL[1] / 2)
    assert found[0].center == (CENTER[0] / 2, CENTER[1] / 2)
    assert notes == ["Cameras are stated for pictures of 120 x 160 px and were scaled to 60 px."]


@pytest.mark.parametrize("size", [(SIZE[1], SIZE[0]), (SIZE[0], SIZE[1] - 4)])
def test_pictures_of_another_shape_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    write_pictures(tmp_path, ["c0.png"], size)
    with pytest.raises(TrackingError, match=r"stated for pictures of 120 x 160 px, but .*c0.png has"):
        with_pictures(rig_of(ring(3)[:1]), tmp_path)


def test_without_a_stated_size_the_principal_point_has_to_fit(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["c0.png"])
    camera = replace(ring(3)[0], size=None)
    assert with_pictures(rig_of([camera]), tmp_path)[0][0].size == SIZE
    with pytest.raises(TrackingError, match=r"State 'width' and 'height'"):
        with_pictures(rig_of([replace(camera, center=(120.0, 160.0))]), tmp_path)


def test_the_cameras_of_a_ring_meet_where_they_look_even_if_one_does_not() -> None:
    cameras = ring(6)
    point = meeting_point(cameras)
    assert point is not None
    np.testing.assert_allclose(point, [0.1, 0.2, 0.3], atol=1e-9)
    astray = replace(cameras[0], world_to_camera=FLIP @ cameras[0].world_to_camera)
    point = meeting_point([astray, *cameras[1:]])
    assert point is not None
    np.testing.assert_allclose(point, [0.1, 0.2, 0.3], atol=1e-3)
    assert sees(cameras[1], point)
    assert not sees(astray, point)
    check_aim([astray, *cameras[1:]], "f")
    check_aim(cameras[:1], "f")


def test_cameras_that_look_away_are_refused_with_the_readings_that_fit() -> None:
    cameras = read_as(ring(6), lambda matrix: FLIP @ matrix)
    with pytest.raises(TrackingError, match=r"do not look at one place \(c0, .*It would fit, if .*OpenGL's axes"):
        check_aim(cameras, "cameras.json")


def test_a_view_is_straight_and_says_what_the_lens_does_not_show(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["c0.png"])
    Image.new("L", SIZE, 255).save(tmp_path / "mask.png")
    camera = replace(ring(3)[0], picture=tmp_path / "c0.png", mask=tmp_path / "mask.png")
    view = load_view(camera)
    assert view.shown is None
    assert view.mask is not None
    view = load_view(replace(camera, lens=Lens((0.5,))))
    assert view.shown is not None
    assert view.mask is not None
    assert not view.shown[0, 0]
    assert view.mask[0, 0] == 0
    assert view.mask[80, 60] == 255
    assert view.camera.lens.is_none
    assert view.pinhole.width == SIZE[0]
    with pytest.raises(TrackingError, match="The coefficients belong to another camera"):
        load_view(replace(camera, lens=Lens((500.0,))))
    Image.new("L", (9, 9), 255).save(tmp_path / "mask.png")
    with pytest.raises(TrackingError, match=r"mask\.png has 9 x 9 px"):
        load_view(camera)
