"""The one picture that an avatar is made from: what is wrong with it is said before the long work."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_ns.capture.checked import CaptureOptions, load_capture
from sage_ns.errors import CaptureError
from tests.tiny_capture import edit_frames, write_tiny_capture
from tests.tiny_turning import write_tiny_turning


def photo(folder: Path, **changed: object) -> CaptureOptions:
    return CaptureOptions(folder, frames="photo", **changed)  # type: ignore[arg-type]


def test_one_picture_is_taken(tmp_path: Path) -> None:
    checked = load_capture(photo(write_tiny_turning(tmp_path, num_turning=1)))
    assert len(checked.splits.train) == 1
    assert {frame.timestep for frame in checked.splits.test} == {1, 2}


def test_several_pictures_are_refused_and_one_can_be_chosen(tmp_path: Path) -> None:
    write_tiny_capture(tmp_path)
    with pytest.raises(CaptureError, match=r"found 2 training pictures of timestep 0.*--cameras INDEX.*0, 1"):
        load_capture(photo(tmp_path))
    assert len(load_capture(photo(tmp_path, cameras=(1,))).splits.train) == 1


@pytest.mark.parametrize("by", ["file", "option"])
def test_a_picture_without_mask_is_refused(tmp_path: Path, by: str) -> None:
    write_tiny_turning(tmp_path, num_turning=1, masks=by == "option")
    with pytest.raises(CaptureError, match="has no mask"):
        load_capture(photo(tmp_path, use_masks=by != "option"))


@pytest.mark.parametrize("facing", [75.0, 180.0])
def test_a_face_that_is_turned_away_is_refused(tmp_path: Path, facing: float) -> None:
    write_tiny_turning(tmp_path, num_turning=1, facing=facing)
    with pytest.raises(CaptureError, match=r"turned away from the camera by (7[4-7]|1[78]\d) degrees"):
        load_capture(photo(tmp_path))


def test_a_face_turned_by_half_is_taken(tmp_path: Path) -> None:
    load_capture(photo(write_tiny_turning(tmp_path, num_turning=1, facing=45.0)))


def test_a_face_out_of_the_picture_is_refused(tmp_path: Path) -> None:
    write_tiny_turning(tmp_path, num_turning=1)
    edit_frames(tmp_path / "transforms_train.json", cx=60.0)
    with pytest.raises(CaptureError, match="contains 0% of the tracked face"):
        load_capture(photo(tmp_path, downscale_factor=1))


def test_a_selection_of_moments_contradicts_one_picture(tmp_path: Path) -> None:
    write_tiny_capture(tmp_path)
    with pytest.raises(CaptureError, match="frames is photo"):
        load_capture(photo(tmp_path, num_timesteps=2))
