"""Every kind of picture file: its pixels come out as 8-bit sRGB, or the error names the file and the kind."""

from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

import sage_ns
from sage_ns.capture.decode import decode_matte, decode_picture, read_header
from sage_ns.capture.images import load_image
from sage_ns.errors import CaptureError
from tests.capture.pictures_of_kinds import write_png_16, write_tiff_16

RANDOM = np.random.default_rng(0)
HALF_A_LEVEL = 257 / 2


def random_pixels(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape).astype(np.uint8)


def sixteen(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 65536, shape).astype(np.uint16)


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **options: Any) -> Path:
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def test_only_one_module_opens_picture_files() -> None:
    package = Path(sage_ns.__file__).parent
    opening = {path.name for path in package.rglob("*.py") if re.search(r"\bImage\.open\(", path.read_text("utf-8"))}
    assert opening == {"decode.py", "sample_depth.py"}


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_png_equals_8_bits_to_half_a_level(tmp_path: Path, channels: int) -> None:
    samples = sixteen(9, 7, channels)
    decoded = np.asarray(decode_picture(write_png_16(tmp_path / "deep.png", samples)))
    assert decoded.shape == samples.shape
    assert np.abs(decoded.astype(float) * 257 - samples).max() <= HALF_A_LEVEL


def test_16_bit_grey_png_equals_8_bits_to_half_a_level(tmp_path: Path) -> None:
    samples = sixteen(9, 7)
    path = save(tmp_path / "deep.png", samples)
    assert np.abs(np.asarray(decode_picture(path)).astype(float) * 257 - samples[..., None]).max() <= HALF_A_LEVEL
    assert np.abs(np.asarray(decode_matte(path)).astype(float) * 257 - samples).max() <= HALF_A_LEVEL


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_tiff_equals_8_bits_to_half_a_level(tmp_path: Path, order: str) -> None:
    samples = sixteen(9, 7, 3)
    decoded = np.asarray(decode_picture(write_tiff_16(tmp_path / "deep.tif", samples, order)))
    assert np.abs(decoded.astype(float) * 257 - samples).max() <= HALF_A_LEVEL


def test_16_bit_versions_of_8_bits_are_those_8_bits(tmp_path: Path) -> None:
    pixels = random_pixels(8, 8, 3)
    path = write_png_16(tmp_path / "deep.png", pixels.astype(np.uint16) * 257)
    np.testing.assert_array_equal(np.asarray(decode_picture(path)), pixels)
    matte = save(tmp_path / "matte.png", pixels[..., 0].astype(np.uint16) * 257)
    np.testing.assert_array_equal(np.asarray(decode_matte(matte)), pixels[..., 0])


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_16_bit_grey_tiff(tmp_path: Path, compression: str | None) -> None:
    samples = sixteen(9, 7)
    path = save(tmp_path / "deep.tif", samples, compression=compression)
    assert np.abs(np.asarray(decode_matte(path)).astype(float) * 257 - samples).max() <= HALF_A_LEVEL


def test_floating_point_tiff_in_0_to_1(tmp_path: Path) -> None:
    values = RANDOM.random((6, 5)).astype(np.float32)
    path = save(tmp_path / "float.tif", values)
    assert np.abs(np.asarray(decode_matte(path)) / 255 - values).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((4, 4), 200, np.float32), r"range from 200 to 200; expected 0\.\.1"),
        (np.full((4, 4), np.nan, np.float32), r"range from nan"),
        (np.full((4, 4), 70000, np.int32), "32-bit or signed integers"),
        (np.full((4, 4), 255, np.uint16), "largest value is 255 of 65535"),
    ],
)
@pytest.mark.parametrize("decode", [decode_picture, decode_matte])
def test_samples_of_unknown_range_are_refused(tmp_path: Path, pixels: np.ndarray, message: str, decode) -> None:
    with pytest.raises(CaptureError, match=rf"odd\.tif cannot be used.*{message}"):
        decode(save(tmp_path / "odd.tif", pixels))


def test_16_bit_grey_with_alpha_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"deep\.png cannot be used.*16-bit"):
        decode_picture(write_png_16(tmp_path / "deep.png", sixteen(4, 4, 2)))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_tags_are_applied(tmp_path: Path, suffix: str, orientation: int) -> None:
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :12] = (250, 20, 20)
    pixels[:8, 12:] = (20, 250, 20)
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {"quality": 95} if suffix == ".jpg" else {}
    path = save(tmp_path / f"turned{suffix}", pixels, exif=exif, **lossless)
    first_row, first_column = {  # EXIF 2.32, 4.6.4: where row 0 and column 0 of the file lie
        1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
        5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
    }[orientation]  # fmt: skip
    expected = pixels if first_row in ("top", "bottom") else pixels.transpose(1, 0, 2)
    expected = expected[::-1] if "bottom" in (first_row, first_column) else expected
    expected = expected[:, ::-1] if "right" in (first_row, first_column) else expected
    decoded = np.asarray(decode_picture(path))
    assert read_header(path).size == (expected.shape[1], expected.shape[0]) == (decoded.shape[1], decoded.shape[0])
    assert np.abs(decoded.astype(int) - expected).mean() < 12


def test_palettes_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (4, 2), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((0, 0), 1)
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "clear.png", transparency=0)
    plain = np.asarray(decode_picture(tmp_path / "plain.png"))
    np.testing.assert_array_equal(plain[0, :2], [[200, 100, 50], [10, 20, 30]])
    picture, mask = load_image(tmp_path / "clear.png")
    assert mask is not None and mask[0, :2, 0].tolist() == [255, 0]
    assert picture[0, 0].tolist() == [200, 100, 50] and picture[0, 1].tolist() == [255, 255, 255]


def wide_profile() -> bytes:
    """An RGB profile whose red and green are swapped against sRGB's: sRGB's bytes with two tags renamed."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


def test_colour_profiles_are_applied_and_srgb_changes_nothing(tmp_path: Path) -> None:
    pixels = random_pixels(6, 6, 3)
    same = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(
        np.asarray(decode_picture(save(tmp_path / "s.png", pixels, icc_profile=same))), pixels
    )
    swapped = decode_picture(save(tmp_path / "w.png", pixels, icc_profile=wide_profile()))
    assert np.abs(np.asarray(swapped).astype(int) - pixels[..., [1, 0, 2]]).max() <= 2
    rgba = np.dstack([pixels, random_pixels(6, 6)])
    both = np.asarray(decode_picture(save(tmp_path / "a.png", rgba, icc_profile=wide_profile())))
    assert np.abs(both[..., :3].astype(int) - pixels[..., [1, 0, 2]]).max() <= 2
    np.testing.assert_array_equal(both[..., 3], rgba[..., 3])


def test_grey_pictures_may_carry_the_profile_of_a_colour_picture(tmp_path: Path) -> None:
    pixels = random_pixels(6, 6)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    decoded = np.asarray(decode_picture(save(tmp_path / "g.png", pixels, icc_profile=profile)))
    np.testing.assert_array_equal(decoded, np.repeat(pixels[..., None], 3, -1))


def test_colours_of_another_space_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "c.jpg", random_pixels(8, 8, 3), "CMYK")
    save(tmp_path / "l.tif", random_pixels(8, 8, 3), "LAB", icc_profile=b"")
    save(tmp_path / "b.png", random_pixels(8, 8, 3), icc_profile=b"no profile at all")
    for name, message in (("c.jpg", "CMYK without"), ("l.tif", "LAB without"), ("b.png", "profile cannot be read")):
        with pytest.raises(CaptureError, match=rf"{re.escape(name)} cannot be used.*{message}"):
            decode_picture(tmp_path / name)


def test_png_files_of_another_gamma_are_refused(tmp_path: Path) -> None:
    usual, linear = (struct.pack(">I", value) for value in (45455, 100000))
    samples = sixteen(4, 4, 3)
    decode_picture(write_png_16(tmp_path / "usual.png", samples, (b"gAMA", usual)))
    path = write_png_16(tmp_path / "linear.png", samples, (b"gAMA", linear))
    with pytest.raises(CaptureError, match=r"linear\.png cannot be used.*gAMA chunk states 1"):
        decode_picture(path)
    decode_picture(write_png_16(tmp_path / "both.png", samples, (b"sRGB", b"\0"), (b"gAMA", linear)))


def bomb(path: Path, width: int, height: int) -> Path:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = write_png_16(path, sixteen(1, 1, 3)).read_bytes()
    chunk = b"IHDR" + header
    path.write_bytes(data[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:])
    return path


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 60_000])
def test_decompression_bombs_are_refused_from_the_header(tmp_path: Path, side: int) -> None:
    path = bomb(tmp_path / "bomb.png", side, side)
    for read in (read_header, decode_picture, decode_matte):
        with pytest.raises(CaptureError, match=r"bomb\.png"):
            read(path)


def test_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "drawing.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    for name, message in {
        "text.png": "not a readable image",
        "empty.png": "not a readable image",
        "drawing.png": "not a readable image",
        "folder.png": "is a folder",
        "pipe.png": "is a named pipe",
        "link.png": "",
        "gone.png": "no such file",
    }.items():
        for read in (read_header, decode_picture, decode_matte):
            with pytest.raises(CaptureError, match=rf"{re.escape(name)}:? ?.*{message}"):
                read(tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_truncated_files_never_end_in_another_error(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"cut{suffix}", random_pixels(32, 32, 3))
    data = path.read_bytes()
    for length in range(0, len(data) - 40, max(1, len(data) // 60)):
        path.write_bytes(data[:length])
        with pytest.raises(CaptureError, match=rf"cut\{suffix}"):
            decode_picture(path)


def test_several_pictures_in_one_file_are_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(random_pixels(4, 4, 3)) for _ in range(3)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(CaptureError, match=r"pages\.tif holds 3 pictures; expected one"):
        decode_picture(tmp_path / "pages.tif")


def test_mattes_in_colour_alpha_and_palette(tmp_path: Path) -> None:
    matte = random_pixels(6, 6)
    grey, full = np.repeat(matte[..., None], 3, -1), np.full((6, 6), 255, np.uint8)
    files = {
        "rgb.png": grey,
        "rgba.png": np.dstack([grey, full]),
        "alpha.png": np.dstack([np.full((6, 6, 3), 255, np.uint8), matte]),
        "both.png": np.dstack([grey, matte]),
    }
    for name, pixels in files.items():
        np.testing.assert_array_equal(np.asarray(decode_matte(save(tmp_path / name, pixels))), matte, err_msg=name)
    np.testing.assert_array_equal(np.asarray(decode_matte(save(tmp_path / "p.png", matte, "P"))), matte)
    binary = np.where(matte > 127, 255, 0).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(decode_matte(save(tmp_path / "one.png", binary, "1"))), binary)


def test_files_that_are_no_mattes(tmp_path: Path) -> None:
    matte = random_pixels(6, 6)
    red = np.dstack([matte, np.zeros((6, 6, 2), np.uint8)])
    files = {
        "red.png": (red, "red, green and blue differ"),
        "picture.png": (random_pixels(6, 6, 3), "red, green and blue differ"),
        "rgba.png": (random_pixels(6, 6, 4), "either could be the matte"),
        "binary.png": ((matte > 127).astype(np.uint8), "largest value is 1 of 255"),
    }
    for name, (pixels, message) in files.items():
        with pytest.raises(CaptureError, match=rf"{re.escape(name)} cannot be used.*{message}"):
            decode_matte(save(tmp_path / name, pixels))
