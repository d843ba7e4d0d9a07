from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import alexnet

from sage_ns.errors import SageError
from sage_ns.image import ssim
from sage_ns.image.metrics import LPIPS_BACKBONE, ImageMetrics, find_lpips_weights, load_lpips


@pytest.fixture(autouse=True)
def empty_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A torch.hub cache that holds nothing; returns its checkpoint folder."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def random_image(seed: int, height: int = 40, width: int = 48) -> Tensor:
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(seed))


def write_random_weights(path: Path) -> Path:
    """AlexNet's convolutions with random weights: what the metric reads of the real file."""
    torch.manual_seed(0)
    network = alexnet(weights=None)
    torch.save({f"features.{name}": value for name, value in network.features.state_dict().items()}, path)
    return path


def test_psnr_of_a_constant_error() -> None:
    truth = torch.full((16, 16, 3), 0.5)
    values = ImageMetrics()(truth + 0.1, truth)
    assert values["psnr"] == pytest.approx(20.0, abs=1e-4)  # -10 log10(0.1^2)
    assert ImageMetrics()(truth, truth)["psnr"] == pytest.approx(100.0)  # bounded, so that means stay finite


def test_ssim_of_flat_images_is_its_luminance_term() -> None:
    a, b = 0.3, 0.6
    values = ImageMetrics()(torch.full((24, 24, 3), a), torch.full((24, 24, 3), b))
    c1 = 0.01**2
    assert values["ssim"] == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), abs=1e-3)
    assert ImageMetrics()(random_image(0), random_image(0))["ssim"] == pytest.approx(1.0, abs=1e-6)


def test_ssim_agrees_with_the_one_that_is_trained_with_away_from_the_border() -> None:
    from sage_ns.image.metrics import _ssim_map

    a, b = random_image(1), random_image(2)
    inside = torch.zeros_like(a)
    inside[16:24, 16:32] = 1
    same_outside = torch.where(inside > 0, b, a)
    # All differences are within, so both averages see the same windows.
    assert float(_ssim_map(a, same_outside).mean()) == pytest.approx(float(ssim(a, same_outside)), abs=1e-3)


def test_face_figures_are_over_the_face_alone() -> None:
    truth = random_image(3)
    face = torch.zeros(40, 48, dtype=torch.bool)
    face[10:30, 20:40] = True
    rendered = torch.where(face[..., None], (truth + 0.1), 1 - truth)
    values = ImageMetrics()(rendered, truth, face)
    assert values["psnr_face"] == pytest.approx(20.0, abs=1e-3)
    assert values["psnr"] < 15
    assert values["ssim_face"] > values["ssim"]


def test_a_face_out_of_view_has_no_figures() -> None:
    image = random_image(4)
    values = ImageMetrics()(image, image, torch.zeros(40, 48, dtype=torch.bool))
    assert set(values) == {"psnr", "ssim"}
    assert set(ImageMetrics()(image, image, None)) == {"psnr", "ssim"}


def test_missing_weights_are_noted_once(capsys: pytest.CaptureFixture[str]) -> None:
    image = random_image(5)
    metrics = ImageMetrics()
    for _ in range(3):
        assert "lpips" not in metrics(image, image)
    assert capsys.readouterr().out.count("LPIPS is left out") == 1


def test_lpips_with_weights_on_the_machine(empty_hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_random_weights(empty_hub / LPIPS_BACKBONE)
    a, b = random_image(6, 64, 64), random_image(7, 64, 64)
    metrics = ImageMetrics()
    face = torch.zeros(64, 64, dtype=torch.bool)
    face[:, :32] = True
    values = metrics(a, b, face)
    assert values["lpips"] > 0 and values["lpips_face"] > 0
    assert metrics(a, a)["lpips"] == pytest.approx(0.0, abs=1e-6)
    # What is outside the face does not count.
    elsewhere = torch.where(face[..., None], b, random_image(8, 64, 64))
    assert metrics(a, elsewhere, face)["lpips_face"] == pytest.approx(values["lpips_face"], abs=1e-6)
    assert "left out" not in capsys.readouterr().out


def test_lpips_is_the_weighted_distance_of_unit_features(tmp_path: Path) -> None:
    """Zhang et al. 2018, Eq. 1, on the features of the same convolutions."""
    weights = write_random_weights(tmp_path / "weights.pth")
    network: Any = load_lpips(weights)
    a, b = random_image(9, 64, 64), random_image(10, 64, 64)
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    features = alexnet(weights=None).features
    features.load_state_dict({name[9:]: value for name, value in torch.load(weights).items()})
    x, y = (((2 * image.permute(2, 0, 1) - 1) - shift) / scale for image in (a, b))
    x, y = x[None], y[None]
    expected, linear = 0.0, [network.lin0, network.lin1, network.lin2, network.lin3, network.lin4]
    heads = iter(linear)
    with torch.no_grad():
        for layer in features:
            x, y = layer(x), layer(y)
            if isinstance(layer, torch.nn.ReLU):
                unit = [f / (f.square().sum(1, keepdim=True).sqrt() + 1e-10) for f in (x, y)]
                expected += float(next(heads)((unit[0] - unit[1]) ** 2).mean())
    assert ImageMetrics(weights)(a, b)["lpips"] == pytest.approx(expected, rel=1e-3)


def test_given_weights_win_over_the_cache(empty_hub: Path, tmp_path: Path) -> None:
    write_random_weights(empty_hub / LPIPS_BACKBONE)
    assert find_lpips_weights(tmp_path / "mine.pth") == tmp_path / "mine.pth"
    assert find_lpips_weights(None) == empty_hub / LPIPS_BACKBONE


@pytest.mark.parametrize("kind", ["missing", "no archive", "empty", "another network", "other shapes", "unsafe"])
def test_wrong_weights_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "weights.pth"
    if kind == "no archive":
        path.write_text("hello")
    elif kind == "empty":
        torch.save({}, path)
    elif kind == "another network":
        torch.save({"conv1.weight": torch.zeros(3)}, path)
    elif kind == "other shapes":
        good = torch.load(write_random_weights(path))
        torch.save({name: value[:1] for name, value in good.items()}, path)
    elif kind == "unsafe":
        torch.save({"features.0.weight": math.sqrt, "features.0.bias": Path("x")}, path)
    with pytest.raises(SageError, match=r"weights\.pth"):
        ImageMetrics(path)(random_image(0), random_image(1))
