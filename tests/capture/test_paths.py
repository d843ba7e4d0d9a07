"""Paths in the JSON files of a capture: what other programs write is read, what leads out of the capture is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sage_ns.capture.frames import read_frames
from sage_ns.capture.layout import TEST, TRAIN, TRANSFORMS, VAL, read_capture
from sage_ns.capture.paths import FolderListing, absolute_path, files_beside
from sage_ns.capture.validation import check_images, check_parameter_files
from sage_ns.errors import CaptureError
from tests.tiny_capture import edit_frames, write_tiny_capture

SECRET = "root:x:0:0:secret"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    for path in ("secret.txt", "notes/secret.txt", "notes/deep/secret.txt"):
        (tmp_path / path).write_text(SECRET)
    return write_tiny_capture(tmp_path / "capture")


def check(folder: Path) -> None:
    """What a training checks before it starts."""
    capture = read_capture(folder)
    check_parameter_files(capture.flame_param_paths.values())
    check_images((*capture.train, *capture.val, *capture.test))


def edit_all(folder: Path, **changes: Any) -> None:
    for name in TRANSFORMS:
        if (folder / name).is_file():
            edit_frames(folder / name, **changes)


@pytest.mark.parametrize("field", ["file_path", "fg_mask_path", "flame_param_path"])
@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../../../../../../../../etc/passwd",
        "../secret.txt",
        "../notes/secret.txt",
        "../notes/deep/secret.txt",
        "images/../../secret.txt",
        "..",
        ".",
        "../capture/../secret.txt",
        "..\\secret.txt",
        "C:\\Users\\me\\capture\\images\\00000_00.png",
        "d:/capture/images/00000_00.png",
        "\\\\server\\share\\00000_00.png",
    ],
)
def test_paths_out_of_the_capture_are_refused(field: str, name: str, folder: Path) -> None:
    edit_frames(folder / TRAIN, **{field: name})
    with pytest.raises(CaptureError, match=rf"transforms_train\.json, frame 0: '{field}' is .*out of the cap") as error:
        read_capture(folder)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("name", [None, 3, "", "a\0b", "\ud800.png", ["images"], {"a": 1}, "x" * 2**20])
def test_what_is_no_path_is_refused(name: Any, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"^t\.json, frame 3: 'file_path' is .*expected a path relative") as error:
        absolute_path(tmp_path, name, "file_path", "t.json, frame 3")
    assert len(str(error.value)) < 500


def test_sequences_beside_a_capture_are_within_reach(folder: Path, tmp_path: Path) -> None:
    union = tmp_path / "union"
    union.mkdir()

    def path(name: str) -> Path:
        return absolute_path(union, name, "file_path", "t.json")

    assert path("../capture/images/00000_00.png") == folder / "images" / "00000_00.png"
    assert path(str(folder / "images" / "00000_00.png")) == folder / "images" / "00000_00.png"
    assert path("../gone/images/00000_00.png") == tmp_path / "gone" / "images" / "00000_00.png", "reported as missing"
    assert path("./a/../b.png") == union / "b.png"


def test_a_linked_capture_may_name_its_files_through_the_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    name = str(tmp_path / "link" / "images" / "00000_00.png")
    assert absolute_path(folder, name, "file_path", "t.json") == Path(name)


def test_backslashes_separate_folders_unless_a_file_has_them_in_its_name(folder: Path) -> None:
    odd = folder / "images\\odd.png"
    assert absolute_path(folder, "images\\odd.png", "file_path", "t.json") == folder / "images" / "odd.png"
    odd.touch()
    assert absolute_path(folder, "images\\odd.png", "file_path", "t.json") == odd


def test_images_are_found_whatever_the_case_of_their_suffix(tmp_path: Path) -> None:
    for name in ("a.PNG", "b.Jpeg", "c.png", "c.PNG", "d.1.JPG"):
        (tmp_path / name).touch()
    listing = FolderListing()
    expected = {
        **{"a": "a.PNG", "a.png": "a.PNG", "b": "b.Jpeg", "c": "c.png", "c.png": "c.png", "c.PNG": "c.PNG"},
        **{"d.1": "d.1.JPG", "e": "e"},
    }
    assert {name: listing.image(tmp_path / name).name for name in expected} == expected
    assert listing.image(tmp_path / "gone" / "a.png") == tmp_path / "gone" / "a.png"


def test_files_beside_a_missing_one(tmp_path: Path) -> None:
    for name in ("a.PNG", "A.jpg", "a", "ab.png"):
        (tmp_path / name).touch()
    assert files_beside(tmp_path / "a.png") == ["A.jpg", "a", "a.PNG"]
    assert files_beside(tmp_path / "gone" / "a.png") == []


def to_jpg(folder: Path) -> None:
    for path in (folder / "images").glob("*.png"):
        path.rename(path.with_suffix(".jpg"))


def to_upper_case_npz(folder: Path) -> None:
    for path in (folder / "flame_param").glob("*.npz"):
        path.rename(path.with_suffix(".NPZ"))


def empty_images(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.unlink()


def other_images(folder: Path) -> None:
    for path in list((folder / "images").iterdir()):
        path.rename(path.with_name(f"frame_{path.name}"))


def without_masks(folder: Path) -> None:
    (folder / "fg_masks").rename(folder / "masks")


def fifo(folder: Path) -> None:
    (folder / "images" / "00000_00.png").unlink()
    os.mkfifo(folder / "images" / "00000_00.png")


def folder_as_parameters(folder: Path) -> None:
    (folder / "flame_param" / "00000.npz").unlink()
    (folder / "flame_param" / "00000.npz").mkdir()


def fifo_as_split(folder: Path) -> None:
    (folder / VAL).unlink()
    os.mkfifo(folder / VAL)


def dangling_split(folder: Path) -> None:
    (folder / TEST).unlink()
    (folder / TEST).symlink_to("gone.json")


def fifo_as_training_split(folder: Path) -> None:
    (folder / TRAIN).unlink()
    os.mkfifo(folder / TRAIN)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (to_jpg, r"12 of 12 images missing: .*\. Found 00000_00\.jpg beside 00000_00\.png: rename"),
        (to_upper_case_npz, r"4 of 4 FLAME parameter files missing.* Found 00000\.NPZ beside 00000\.npz"),
        (empty_images, r"12 of 12 images missing.* The folder .*images holds nothing\."),
        (other_images, r"12 of 12 images missing.* holds frame_00000_00\.png, frame_00000_01\.png, .* and 9 more"),
        (without_masks, r"12 of 12 masks missing.* There is no folder .*fg_masks\."),
        (fifo, r"image .*00000_00\.png is a named pipe \(FIFO\); expected a file"),
        (folder_as_parameters, r"FLAME parameter file .*00000\.npz is a folder; expected a file"),
        (fifo_as_split, r"transforms_val\.json is a named pipe"),
        (fifo_as_training_split, r"transforms_train\.json is a named pipe"),
        (dangling_split, r"transforms_test\.json is a link to gone\.json, which does not exist"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_missing_files_are_named_as_what_they_are(damage: Callable[[Path], None], message: str, folder: Path) -> None:
    damage(folder)
    with pytest.raises(CaptureError, match=message):
        check(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"timestep_index": 2**63},
            r"'timestep_index' is 9223372036854775808; expected a whole number in 0\.\.2\^63 - 1",
        ),
        ({"timestep_index": 1e300}, r"'timestep_index' is 1e\+300; expected a whole number"),
        ({"timestep_index": 10**400}, r"'timestep_index' is 10+\.\.\. \(401 characters\); expected a finite number"),
        ({"fl_x": 10**400}, r"'fl_x' is 10+\.\.\. \(401 characters\); expected a finite number"),
        ({"w": float("nan")}, r"'w' is nan; expected a finite number"),
        ({"w": 32.01}, r"image size 'w' x 'h' is 32\.01 x 40; expected whole pixels"),
        ({"transform_matrix": lambda m: [[10**400] * 4] * 4}, "'transform_matrix' is not a 4x4 matrix"),
        ({"camera_index": -(2**70)}, "'camera_index' is -1180591620717411303424; expected a whole number"),
    ],
)
def test_impossible_numbers_are_refused_by_name(changes: dict, message: str, folder: Path) -> None:
    edit_frames(folder / TRAIN, **changes)
    with pytest.raises(CaptureError, match=rf"transforms_train\.json, frame 0: {message}"):
        read_capture(folder)


def test_ids_beyond_2_to_53_are_exact(folder: Path) -> None:
    start = 1_764_080_000_000_000_001
    edit_all(folder, timestep_index=lambda timestep: start + timestep)
    assert list(read_capture(folder).flame_param_paths) == [start, start + 1, start + 2, start + 3]


@pytest.mark.parametrize(
    ("case", "arguments"),
    [
        ("10-windows-paths-and-bom", ["backslash"]),
        ("10-windows-paths-and-bom", ["bom"]),
        ("11-upper-case-suffix", []),
        ("14-sizes-one-ulp-off", []),
    ],
)
def test_situations_of_other_programs(case: str, arguments: list[str], folder: Path, shared: Path) -> None:
    script = shared / "cases" / case / "make.py"
    if not script.is_file():
        pytest.skip(f"no {script}")
    changed = folder.parent / "changed"
    subprocess.run([sys.executable, str(script), str(folder), str(changed), *arguments], check=True, timeout=600)
    assert (changed / TRAIN).read_bytes() != (folder / TRAIN).read_bytes()
    check(changed)
    ours, theirs = read_frames(folder / TRAIN), read_frames(changed / TRAIN)
    for our, their in zip(ours, theirs, strict=True):
        assert (our.timestep, our.width, our.height) == (their.timestep, their.width, their.height)
        assert their.image_path.is_file() and their.image_path.stem == our.image_path.stem
