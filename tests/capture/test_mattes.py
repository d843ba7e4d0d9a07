"""Masks that cannot be the mattes of their pictures are refused before training, by the name of the first file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sage_ns.capture.checked import CaptureOptions, inspect_capture, load_capture
from sage_ns.errors import CaptureError
from tests.tiny_capture import write_tiny_capture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_capture(tmp_path / "capture", width=64, height=80)


def change_masks(folder: Path, change: Callable[[np.ndarray], np.ndarray], pattern: str = "*.png") -> None:
    for path in (folder / "fg_masks").glob(pattern):
        Image.fromarray(change(np.asarray(Image.open(path)))).save(path)


def refused(folder: Path, message: str, **options) -> str:
    texts = []
    for check in (load_capture, inspect_capture):
        with pytest.raises(CaptureError, match=message) as caught:
            check(CaptureOptions(folder, **options))
        texts.append(str(caught.value))
    return texts[0]


def test_right_masks_pass(folder: Path) -> None:
    load_capture(CaptureOptions(folder))
    inspect_capture(CaptureOptions(folder, frames="multi"))


def test_16_bit_mattes_are_read_as_their_8_bits(folder: Path) -> None:
    change_masks(folder, lambda mask: mask.astype(np.uint16) * 257)
    load_capture(CaptureOptions(folder))


def test_masks_with_hard_edges_pass(folder: Path) -> None:
    change_masks(folder, lambda mask: np.where(mask > 127, 255, 0).astype(np.uint8))
    load_capture(CaptureOptions(folder))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda mask: 255 - mask, r"covers 0% of the tracked head\. .*invert"),
        (lambda mask: (mask > 127).astype(np.uint8), "largest value is 1 of 255"),
        (lambda mask: (mask // 2.55).astype(np.uint8), r"typical value on the tracked head is 100 of 255\. .*scale"),
        (lambda mask: mask.astype(np.uint16), "largest value is 255 of 65535"),
        (lambda mask: np.zeros_like(mask), "covers 0% of the tracked head"),
        (lambda mask: np.dstack([mask, 0 * mask, 0 * mask]), "red, green and blue differ"),
        (lambda mask: np.roll(mask, 14, axis=1), "foreground outside of the mask"),
    ],
)
def test_masks_that_are_not_the_matte_of_their_picture(folder: Path, change, message: str) -> None:
    change_masks(folder, change)
    assert "fg_masks/00000_00.png" in refused(folder, message)
    load_capture(CaptureOptions(folder, use_masks=False))


def test_one_wrong_mask_among_right_ones_is_named(folder: Path) -> None:
    change_masks(folder, lambda mask: 255 - mask, "00000_01.png")
    text = refused(folder, r"mask .*fg_masks/00000_01\.png does not fit its picture .*images/00000_01\.png")
    assert "more" not in text


def test_another_background_is_named(folder: Path) -> None:
    text = refused(folder, r"not of the background colour #000000.*--background", background="black")
    assert re.search(r"\(as do \d+ more of \d+ checked\)", text)


def test_pictures_without_masks_have_nothing_to_check(folder: Path) -> None:
    for path in (folder / "fg_masks").glob("*.png"):
        path.unlink()
    for check in (load_capture, inspect_capture):
        check(CaptureOptions(folder, use_masks=False))
