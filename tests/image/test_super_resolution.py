"""Upscalers: closed forms of bicubic and of small networks, colours that stay, and weights that are refused."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sage_ns.errors import SageError
from sage_ns.image.super_resolution import UPSCALERS, enlarged, keep_colors, open_upscaler
from tests.image.networks import compact_state, write_compact


def picture(height: int = 18, width: int = 22, seed: int = 0) -> Tensor:
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(seed))


def blocks(image: Tensor, scale: int) -> Tensor:
    return image.repeat_interleave(scale, dim=0).repeat_interleave(scale, dim=1)


def averaged(image: Tensor, scale: int) -> Tensor:
    return F.avg_pool2d(image.permute(2, 0, 1)[None], scale)[0].permute(1, 2, 0)


@pytest.mark.parametrize(("name", "scale"), [("none", 1), ("bicubic", 2), ("bicubic-3", 3), ("bicubic-4", 4)])
def test_names(name: str, scale: int) -> None:
    upscaler = open_upscaler(name)
    assert upscaler.scale == scale and upscaler(picture()).shape == (18 * scale, 22 * scale, 3)
    assert len({open_upscaler(each).identity for each in UPSCALERS}) == len(UPSCALERS)
    if scale == 1:
        assert torch.equal(upscaler(picture()), picture())


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_keeps_places(scale: int) -> None:
    """A ramp stays a ramp with pixel edges in place, so intrinsics are multiplied by the scale."""
    x = (torch.arange(20.0) + 0.5) / 20
    ramp = x[None, :, None].expand(12, -1, 3)
    big = (torch.arange(20.0 * scale) + 0.5) / (20 * scale)
    inner = slice(3 * scale, -3 * scale)
    torch.testing.assert_close(enlarged(ramp, scale)[5, inner, 0], big[inner], atol=1e-6, rtol=0)


def test_bicubic_stays_in_range() -> None:
    step = torch.zeros(8, 8, 3)
    step[:, 4:] = 1
    assert float(enlarged(step, 2).max()) > 1  # it overshoots
    assert float(open_upscaler("bicubic")(step).max()) == 1 and float(open_upscaler("bicubic")(step).min()) == 0


def test_colours_of_the_original_are_kept() -> None:
    """A constant shift is removed exactly; a slow one almost; detail within a pixel of the original stays as it is."""
    original = 0.25 + 0.5 * enlarged(picture(5, 6), 8).clamp(0, 1)
    detailed = blocks(original, 2)
    checker = 0.05 * (1 - 2.0 * ((torch.arange(80)[:, None] + torch.arange(96)) % 2))[..., None]
    shift = torch.tensor([0.1, -0.1, 0.05])
    torch.testing.assert_close(keep_colors(detailed, original, 2), detailed)
    torch.testing.assert_close(keep_colors(detailed + checker, original, 2), detailed + checker, atol=1e-5, rtol=0)
    torch.testing.assert_close(keep_colors(detailed + shift, original, 2), detailed, atol=1e-5, rtol=0)
    slow = 0.1 * torch.sin(torch.arange(96) * (2 * torch.pi / 96))[None, :, None]
    left = (keep_colors(detailed + slow, original, 2) - detailed).abs().max()
    assert float(left) < 0.15 * 0.1


def test_sharp_detail_of_the_network_stays() -> None:
    """Near the smallest period the low-pass sees nothing: the network's own picture is the result."""
    original = torch.full((40, 40, 3), 0.5)
    stripes = 0.2 * (1 - 2.0 * (torch.arange(40) % 2))[None, :, None]
    detailed = blocks(original + stripes, 2)
    left = keep_colors(detailed, original, 2) - detailed
    assert float(left[20:-20, 20:-20].abs().max()) < 1e-3


class TestNetworks:
    """Files of weights; spandrel is optional."""

    @pytest.fixture(autouse=True)
    def spandrel(self) -> None:
        pytest.importorskip("spandrel")

    @pytest.mark.parametrize("scale", [2, 4])
    def test_the_scale_is_the_networks(self, tmp_path: Path, scale: int) -> None:
        upscaler = open_upscaler(str(write_compact(tmp_path / "x.pth", scale=scale)))
        image = picture()
        assert upscaler.scale == scale
        torch.testing.assert_close(upscaler(image), blocks(image, scale), atol=1e-5, rtol=0)

    @pytest.mark.parametrize("nested", [True, False])
    @pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
    def test_files_of_both_kinds_give_the_same(self, tmp_path: Path, suffix: str, nested: bool) -> None:
        from safetensors.torch import save_file

        state, path = compact_state(size=0.2), tmp_path / f"x{suffix}"
        if suffix == ".safetensors":
            save_file(state, path)
        else:
            torch.save({"params_ema": state} if nested else state, path)
        other = open_upscaler(str(write_compact(tmp_path / "y.pth", size=0.2)))
        torch.testing.assert_close(open_upscaler(str(path))(picture()), other(picture()))
        assert not torch.allclose(other(picture()), blocks(picture(), 2), atol=1e-3)

    def test_colours_that_the_network_shifts_are_kept(self, tmp_path: Path) -> None:
        state = compact_state()
        state["body.4.bias"] += 0.1
        torch.save(state, tmp_path / "x.pth")
        image = 0.2 + 0.5 * picture()
        torch.testing.assert_close(open_upscaler(str(tmp_path / "x.pth"))(image), blocks(image, 2), atol=1e-5, rtol=0)

    def test_large_pictures_have_no_seams(self, tmp_path: Path) -> None:
        upscaler: Any = open_upscaler(str(write_compact(tmp_path / "x.pth", size=0.1)))
        image = picture(40, 400)
        whole = keep_colors(upscaler._enlarge(image), image, 2)
        torch.testing.assert_close(upscaler(image), whole, atol=1e-5, rtol=0)

    def test_identity_is_the_content(self, tmp_path: Path) -> None:
        first = write_compact(tmp_path / "a.pth", size=0.1)
        copy = tmp_path / "b.pth"
        copy.write_bytes(first.read_bytes())
        other = write_compact(tmp_path / "c.pth", size=0.1, seed=1)
        identities = [open_upscaler(str(path)).identity for path in (first, copy, other)]
        assert identities[0] == identities[1] != identities[2]

    @pytest.mark.parametrize(
        ("content", "named"),
        [
            (compact_state(scale=1), "for Restoration at scale 1"),
            (compact_state(channels=1), "1 input and 1 output channels, expected 3 and 3"),
            ({"some.weight": torch.zeros(3)}, "does not know a network"),
            (
                {name: value for name, value in compact_state().items() if name != "body.2.bias"},
                "incomplete or damaged",
            ),
            ({**compact_state(), "body.0.bias": torch.full((4,), torch.nan)}, "'body.0.bias': found numbers"),
            ({**compact_state(), "body.0.bias": torch.zeros(1).expand(10**10)}, "more than the file holds"),
            ([torch.zeros(3)], "found list, expected arrays by name"),
            ({0: torch.zeros(3)}, "found dict, expected arrays by name"),
        ],
    )
    def test_weights_that_do_not_fit(self, tmp_path: Path, content: Any, named: str) -> None:
        torch.save(content, tmp_path / "x.pth")
        self.refused(tmp_path / "x.pth", named)

    def test_networks_for_other_purposes_and_damaged_files(self, tmp_path: Path) -> None:
        good = write_compact(tmp_path / "good.pth").read_bytes()
        for name, content, named in (
            ("cut.pth", good[: len(good) // 2], "truncated"),
            ("text.pth", b"no weights", "not a checkpoint that torch.save wrote"),
            ("x.safetensors", b"\xff" * 64, "not a readable safetensors file"),
            ("y.safetensors", good, "not a readable safetensors file"),
        ):
            (tmp_path / name).write_bytes(content)
            self.refused(tmp_path / name, named)
        self.refused(tmp_path / "nothing.pth", "no such file")
        self.refused(tmp_path, "is a folder")

    def test_a_pickle_that_runs_code_is_refused_and_does_not_run(self, tmp_path: Path) -> None:
        class Payload:
            def __reduce__(self) -> Any:
                return (Path.touch, (tmp_path / "ran",))

        torch.save({"params": {**compact_state(), "more": Payload()}}, tmp_path / "x.pth")
        self.refused(tmp_path / "x.pth", "it could run code")
        (tmp_path / "y.pth").write_bytes(pickle.dumps(Payload()))
        self.refused(tmp_path / "y.pth", "not a checkpoint that torch.save wrote")
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        ("returned", "named"),
        [
            (torch.full((1, 3, 36, 44), torch.nan), "numbers that are not finite"),
            (torch.zeros(1, 3, 5, 5), "[5, 5, 3]"),
        ],
    )
    def test_a_network_that_returns_no_picture_is_refused(self, tmp_path: Path, returned: Tensor, named: str) -> None:
        upscaler: Any = open_upscaler(str(write_compact(tmp_path / "x.pth")))
        upscaler._model._call_fn = lambda *_: returned
        with pytest.raises(SageError) as error:
            upscaler(picture())
        assert "x.pth: the network returned" in str(error.value) and named in str(error.value)

    def refused(self, path: Path, named: str) -> None:
        with pytest.raises(SageError) as error:
            open_upscaler(str(path))
        assert path.name in str(error.value) and named in str(error.value)


def test_without_the_package_the_message_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    path = write_compact(tmp_path / "x.pth")
    with pytest.raises(SageError, match=r"needs the package spandrel. Install it: pip install"):
        open_upscaler(str(path))


def test_a_name_that_is_no_upscaler_lists_them() -> None:
    with pytest.raises(SageError, match=r"bicubc: no such file. Give none, bicubic, bicubic-3, bicubic-4, or a file"):
        open_upscaler("bicubc")
