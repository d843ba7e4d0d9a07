"""Enlarged pictures of a capture: made once, kept by content, and made again only when something has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sage_ns.capture.enlarged import PictureEnlarger
from sage_ns.errors import SageError
from sage_ns.image.super_resolution import Bicubic


class Counting:
    """An upscaler that counts its calls."""

    scale = 2

    def __init__(self, identity: str = "counting") -> None:
        self.identity, self.calls = identity, 0

    def __call__(self, image: Tensor) -> Tensor:
        self.calls += 1
        return Bicubic(2)(image)


def picture(seed: int = 0, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (10, 12, channels), generator=generator, dtype=torch.uint8)


def test_picture_and_mask_are_enlarged_and_kept(tmp_path: Path) -> None:
    image, mask = picture(), picture(1, channels=1)
    first, again = Counting(), Counting()
    big, big_mask = PictureEnlarger(first, tmp_path)(image, mask)
    assert big_mask is not None and big.shape == (20, 24, 3) and big_mask.shape == (20, 24, 1)
    torch.testing.assert_close(big.float(), 255 * Bicubic(2)(image.float() / 255), atol=0.51, rtol=0)
    torch.testing.assert_close(big_mask.float(), (255 * Bicubic(2)(mask.float() / 255)), atol=0.51, rtol=0)
    kept, kept_mask = PictureEnlarger(again, tmp_path)(image, mask)
    assert kept_mask is not None and torch.equal(kept, big) and torch.equal(kept_mask, big_mask)
    assert (first.calls, again.calls) == (1, 0) and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "changed",
    [
        lambda image, mask: (image + 1, mask, "counting"),
        lambda image, mask: (image, mask + 1, "counting"),
        lambda image, mask: (image, None, "counting"),
        lambda image, mask: (image.reshape(12, 10, 3), mask.reshape(12, 10, 1), "counting"),
        lambda image, mask: (image, mask, "other weights"),
    ],
)
def test_what_has_changed_is_made_again(
    changed: Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None, str]], tmp_path: Path
) -> None:
    image, mask = picture(), picture(1, channels=1)
    PictureEnlarger(Counting(), tmp_path)(image, mask)
    image, other_mask, identity = changed(image, mask)
    upscaler = Counting(identity)
    PictureEnlarger(upscaler, tmp_path)(image, other_mask)
    assert upscaler.calls == 1


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:60], lambda content: b"x" + content])
def test_damaged_files_are_made_again(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    expected, _ = PictureEnlarger(Counting(), tmp_path)(picture(), None)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    upscaler = Counting()
    found, mask = PictureEnlarger(upscaler, tmp_path)(picture(), None)
    assert torch.equal(found, expected) and mask is None and upscaler.calls == 1
    assert torch.equal(PictureEnlarger(upscaler, tmp_path)(picture(), None)[0], expected) and upscaler.calls == 1


def test_an_interruption_leaves_nothing_behind(tmp_path: Path) -> None:
    class Broken(Counting):
        def __call__(self, image: Tensor) -> Tensor:
            raise SageError("no numbers")

    with pytest.raises(SageError):
        PictureEnlarger(Broken(), tmp_path)(picture(), None)
    assert not list(tmp_path.iterdir())


def test_without_a_place_to_write_it_works_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    upscaler = Counting()
    for _ in range(2):
        assert PictureEnlarger(upscaler, tmp_path / "file")(picture(), None)[0].shape == (20, 24, 3)
    assert upscaler.calls == 2
