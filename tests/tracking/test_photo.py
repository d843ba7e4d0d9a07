"""Reading of the one photo: orientation, lens, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sage_ns.errors import SageError
from sage_ns.tracking.focal import in_mm, in_pixels
from sage_ns.tracking.photo import read_photo

PICTURE = np.zeros((90, 120, 3), dtype=np.uint8)
PICTURE[:40, :, 0] = 200


def saved(path: Path, orientation: int = 1, mm: int = 0, size: tuple[int, int] | None = None) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    lens = exif.get_ifd(0x8769)
    if mm:
        lens[0xA405] = mm
    if size:
        lens[0xA002], lens[0xA003] = size
    Image.fromarray(PICTURE).save(path, exif=exif, quality=95)
    return path


def test_a_photo_is_turned_upright_and_its_lens_read(tmp_path: Path) -> None:
    photo = read_photo(saved(tmp_path / "turned.jpg", orientation=6, mm=26, size=(4000, 3000)))
    assert photo.size == (90, 120)
    assert photo.pixels[:, 80].mean() > photo.pixels[:, 10].mean()
    assert photo.focal.source == "EXIF: 26 mm"
    assert in_mm(photo.focal.pixels, *photo.size) == pytest.approx(26)
    assert photo.alpha is None and len(photo.sha256) == 64


def test_a_cropped_photo_and_one_without_a_lens_have_the_usual_focal_length(tmp_path: Path) -> None:
    for path in (saved(tmp_path / "cropped.jpg", mm=26, size=(4000, 2000)), saved(tmp_path / "plain.jpg")):
        photo = read_photo(path)
        assert photo.focal.source.startswith("guess") and photo.focal.spread > 0.2


def test_a_focal_length_is_relative_to_the_diagonal() -> None:
    assert in_pixels(43.2666, 300, 400) == pytest.approx(500, rel=1e-5)


def test_alpha_is_kept_and_opaque_alpha_is_none(tmp_path: Path) -> None:
    alpha = np.full((90, 120), 255, dtype=np.uint8)
    Image.fromarray(np.dstack([PICTURE, alpha])).save(tmp_path / "opaque.png")
    assert read_photo(tmp_path / "opaque.png").alpha is None
    alpha[0] = 0
    Image.fromarray(np.dstack([PICTURE, alpha])).save(tmp_path / "cut.png")
    cut = read_photo(tmp_path / "cut.png").alpha
    assert cut is not None and not cut[0].any()


def heic(path: Path) -> Path:
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    return path


def cmyk(path: Path) -> Path:
    Image.fromarray(PICTURE).convert("CMYK").save(path, format="JPEG")
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def small(path: Path) -> Path:
    Image.new("RGB", (40, 300)).save(path)
    return path


def cut_short(path: Path) -> Path:
    saved(path)
    path.write_bytes(path.read_bytes()[:-60])
    return path


def text(path: Path) -> Path:
    path.write_text("no picture")
    return path


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (heic, "photo.heic", "Most Compatible"),
        (cmyk, "photo.jpg", "CMYK without a colour profile"),
        (folder, "photos", "is a folder"),
        (small, "thumb.png", "at least 64 px"),
        (cut_short, "photo.jpg", "truncated"),
        (text, "photo.png", "not a readable image"),
        (lambda path: path, "photo.jpg", "no such file"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(tmp_path: Path, make, name: str, message: str) -> None:
    with pytest.raises(SageError, match=message):
        read_photo(make(tmp_path / name))
