"""The perceptual loss with a user's weights: rebuilt from the file, read without running code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sage_ns.errors import SageError
from sage_ns.image.feature_network import load_features


def vgg() -> nn.Sequential:
    """Two convolutions, a pooling, and a convolution, as torchvision numbers them."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Conv2d(5, 6, 3, padding=1), nn.ReLU()).requires_grad_(False)


def write_vgg(path: Path, **changes: Any) -> Path:
    """Write the weights of `vgg`, with a classifier's beside them; None takes an array away."""
    state: dict[str, Any] = {f"features.{name}": value for name, value in vgg().state_dict().items()}
    state["classifier.0.weight"] = torch.zeros(2, 2)
    for name, value in changes.items():
        state[name.replace("__", ".")] = value
    torch.save({name: value for name, value in state.items() if value is not None}, path)
    return path


def picture(seed: int) -> Tensor:
    return torch.rand(9, 11, 3, generator=torch.Generator().manual_seed(seed))


def test_features_are_those_of_the_network(tmp_path: Path) -> None:
    network, image = load_features(write_vgg(tmp_path / "vgg.pth")), picture(0)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = ((image - mean) / deviation).movedim(-1, 0)[None]
    found = network(image)
    torch.testing.assert_close(found[0], vgg()[:4](normalised))
    torch.testing.assert_close(found[1], vgg()(normalised))
    assert len(found) == 2


def test_the_difference_is_zero_for_the_same_picture_and_has_a_slope_for_others(tmp_path: Path) -> None:
    network = load_features(write_vgg(tmp_path / "vgg.pth"))
    one, other = picture(0).requires_grad_(), picture(1)
    assert float(network.difference(other, other)) == 0
    loss = network.weighted(0.5)(one, other)
    torch.testing.assert_close(loss, 0.5 * network.difference(one, other))
    loss.backward()
    assert one.grad is not None and one.grad.abs().max() > 0
    expected = [F.l1_loss(a, b) / b.abs().mean() for a, b in zip(network(one.detach()), network(other), strict=True)]
    torch.testing.assert_close(2 * loss.detach(), torch.stack(expected).mean())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features__0__weight": None}, "features.0.weight"),
        ({"features__0__weight": torch.zeros(4, 3, 5, 5)}, "'features.0'"),
        ({"features__2__weight": torch.zeros(5, 3, 3, 3)}, "'features.2'"),
        ({"features__2__bias": None}, "'features.2'"),
        ({"features__2__bias": torch.zeros(7)}, "'features.2'"),
        ({"features__5__weight": torch.full((6, 5, 3, 3), torch.nan)}, "not finite"),
        ({"features__6__weight": torch.zeros(6, 6, 3, 3), "features__6__bias": torch.zeros(6)}, "2 or 3 apart"),
    ],
)
def test_files_of_other_networks_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SageError, match=message):
        load_features(write_vgg(tmp_path / "vgg.pth", **changes))


def test_programs_are_refused(tmp_path: Path) -> None:
    torch.jit.script(vgg()).save(str(tmp_path / "script.pt"))
    torch.save(vgg(), tmp_path / "whole.pt")
    (tmp_path / "text.pth").write_text("nothing")
    for name in ("script.pt", "whole.pt", "text.pth", "missing.pth"):
        with pytest.raises(SageError, match=name):
            load_features(tmp_path / name)
