from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.capture.images import background_color, downscaled_size, load_image, recomposite
from sage_ns.errors import CaptureError


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def random_pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def test_full_size_is_untouched(tmp_path: Path) -> None:
    rgb, alpha = random_pixels(6, 8, 3), random_pixels(6, 8)
    image, mask = load_image(save(tmp_path / "i.png", rgb), save(tmp_path / "m.png", alpha))
    assert mask is not None and image.dtype == mask.dtype == torch.uint8
    np.testing.assert_array_equal(image.numpy(), rgb)
    np.testing.assert_array_equal(mask.numpy(), alpha[..., None])


def test_downscaling_averages_whole_blocks_and_crops_the_rest(tmp_path: Path) -> None:
    rgb, alpha = random_pixels(14, 11, 3), random_pixels(14, 11)
    image, mask = load_image(save(tmp_path / "i.png", rgb), save(tmp_path / "m.png", alpha), downscale_factor=4)
    assert mask is not None and downscaled_size(11, 14, 4) == (2, 3)
    blocks = rgb[:12, :8].astype(float).reshape(3, 4, 2, 4, 3).mean((1, 3))
    np.testing.assert_allclose(image.numpy(), blocks, atol=0.51)
    np.testing.assert_allclose(mask.numpy()[..., 0], alpha[:12, :8].reshape(3, 4, 2, 4).mean((1, 3)), atol=0.51)


def test_no_mask_is_none(tmp_path: Path) -> None:
    assert load_image(save(tmp_path / "i.png", random_pixels(4, 4, 3)))[1] is None


def test_gray_images_become_rgb(tmp_path: Path) -> None:
    gray = random_pixels(4, 5)
    image, mask = load_image(save(tmp_path / "i.png", gray))
    np.testing.assert_array_equal(image.numpy(), np.repeat(gray[..., None], 3, -1))
    assert mask is None


@pytest.mark.parametrize("background", ["white", "black", "#204060"])
def test_rgba_is_blended_and_its_alpha_is_the_mask(tmp_path: Path, background: str) -> None:
    rgba = random_pixels(8, 8, 4)
    color = background_color(background)
    image, mask = load_image(save(tmp_path / "i.png", rgba), background=color)
    assert mask is not None
    alpha = rgba[..., 3:] / 255
    expected = alpha * rgba[..., :3] + (1 - alpha) * 255 * color.numpy()
    np.testing.assert_allclose(image.numpy(), expected, atol=1.01)
    np.testing.assert_array_equal(mask.numpy(), rgba[..., 3:])


def test_recomposite_exchanges_the_background_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    foreground, mask = torch.rand(5, 4, 3, generator=generator), torch.rand(5, 4, 1, generator=generator)
    white, blue = background_color("white"), torch.tensor([0.1, 0.2, 0.8])
    on_white, on_blue = (mask * foreground + (1 - mask) * color for color in (white, blue))
    torch.testing.assert_close(recomposite(on_white, mask, white, blue), on_blue)
    torch.testing.assert_close(recomposite(on_white, mask, white, white), on_white)
    torch.testing.assert_close(recomposite(on_blue, mask, blue, white), on_white)


def test_background_colours() -> None:
    assert background_color("white").tolist() == [1, 1, 1]
    assert background_color("#ff0000").tolist() == [1, 0, 0]
    with pytest.raises(CaptureError, match="no-such-colour"):
        background_color("no-such-colour")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_truncated_image(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"image{suffix}", random_pixels(64, 64, 3))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CaptureError, match=f"image{suffix}.*truncated"):
        load_image(path)


def test_mask_of_another_size_names_both(tmp_path: Path) -> None:
    image, mask = save(tmp_path / "i.png", random_pixels(8, 8, 3)), save(tmp_path / "m.png", random_pixels(4, 8))
    with pytest.raises(CaptureError, match=r"m\.png has 8 x 4 px.*i\.png 8 x 8 px"):
        load_image(image, mask)


@pytest.mark.parametrize("factor", [0, -2, 50])
def test_impossible_downscale_factors(factor: int) -> None:
    with pytest.raises(CaptureError, match="downscale_factor"):
        downscaled_size(32, 40, factor)
