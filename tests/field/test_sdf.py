"""The signed distance field: its start, its gradient, the space outside its cube, its checkpoint."""

from __future__ import annotations

import io
from typing import Literal

import pytest
import torch
from torch import Tensor

from sage_ns.field.sdf import INITIAL_RADIUS, FieldConfig, SignedDistanceField

CENTER, HALF = torch.tensor([0.02, 0.1, -0.03]), 0.2
CONFIG = FieldConfig(num_levels=4, log2_table_size=11, finest=41, coarsest=6, hidden=32, num_features=5)


def small_field(rough: bool = True, gradient: Literal["analytic", "numerical"] = "analytic") -> SignedDistanceField:
    torch.manual_seed(1)
    config = FieldConfig(**{**CONFIG.__dict__, "gradient": gradient})
    field = SignedDistanceField(config, CENTER, HALF)
    if rough:
        torch.nn.init.uniform_(field.encoding.table, -0.3, 0.3)
        torch.nn.init.normal_(field.hidden.bias, std=0.05)
    return field


def points(num: int, reach: float = 0.95) -> Tensor:
    unit = 2.0 * torch.rand(num, 3, generator=torch.Generator().manual_seed(num)) - 1.0
    return CENTER + reach * HALF * unit


def central_differences(field: SignedDistanceField, x: Tensor, step: float) -> Tensor:
    offsets = step * torch.eye(3, dtype=x.dtype)
    return torch.stack([(field.distance(x + o) - field.distance(x - o)) / (2 * step) for o in offsets], dim=-1)


def test_it_starts_near_a_sphere():
    field = small_field(rough=False)
    x = points(500)
    with torch.no_grad():
        sample = field.evaluate(x, gradient=True)
    assert sample.gradient is not None
    expected = (x - CENTER).norm(dim=-1) - INITIAL_RADIUS * HALF
    assert float((sample.distance - expected).abs().max()) < 0.1 * HALF
    outward = torch.nn.functional.normalize(x - CENTER, dim=-1)
    far = expected > -0.5 * INITIAL_RADIUS * HALF
    assert float(((sample.gradient * outward).sum(dim=-1)[far] - 1.0).abs().max()) < 0.1


def test_shapes_and_the_cheap_distance():
    field = small_field()
    x = points(300)
    sample = field.evaluate(x)
    assert sample.gradient is None
    assert sample.feature.shape == (300, 5)
    assert sample.encoding.shape == (300, field.num_encoded) == (300, 8)
    with torch.no_grad():
        assert torch.allclose(field.distance(x), sample.distance, atol=1e-7)


def test_the_gradient_equals_finite_differences_in_and_out_of_the_cube():
    field = small_field().double()
    x = points(400, reach=1.6).double()
    with torch.no_grad():
        found = field.evaluate(x, gradient=True).gradient
    assert found is not None
    error = (found - central_differences(field, x, 1e-8).detach()).norm(dim=-1)
    # Cells' borders, where the gradient jumps, are crossed by next to none of the tiny differences.
    assert float(error.quantile(0.98)) < 1e-4


@pytest.mark.parametrize("at_x", [False, True])
def test_a_loss_on_everything_has_the_gradients_of_the_float64_definition(at_x: bool):
    def run(dtype: torch.dtype) -> dict[str, Tensor]:
        field = small_field().to(dtype)
        x = points(600, reach=1.1).to(dtype).requires_grad_(at_x)
        sample = field.evaluate(x, gradient=True)
        assert sample.gradient is not None
        loss = sample.distance.abs().mean() + 0.1 * sample.feature.square().mean() + sample.encoding.square().mean()
        (loss + 0.1 * (sample.gradient.norm(dim=-1) - 1.0).square().mean()).backward()
        gradients = {name: p.grad for name, p in field.named_parameters() if p.grad is not None}
        return gradients | ({"x": x.grad} if x.grad is not None else {})

    found, expected = run(torch.float32), run(torch.float64)
    assert found.keys() == expected.keys()
    assert len(found) == 5 + at_x
    for name, value in expected.items():
        assert float((found[name].double() - value).norm()) < 2e-3 * float(value.norm()), name


def test_a_detached_gradient_is_the_same_and_constant():
    field = small_field()
    x = points(50).requires_grad_()
    attached, detached = (field.evaluate(x, gradient=kind).gradient for kind in (True, "detached"))  # type: ignore[arg-type]
    assert attached is not None
    assert detached is not None
    assert attached.requires_grad
    assert not detached.requires_grad
    assert torch.equal(attached, detached)
    with torch.no_grad():
        assert torch.equal(field.evaluate(x, gradient=True).gradient, detached)  # type: ignore[arg-type]


def test_autograd_finds_the_same_gradient_and_differentiates_it():
    field = small_field()
    x = points(60).requires_grad_()
    (found,) = torch.autograd.grad(field.distance(x).sum(), x, create_graph=True)
    expected = field.evaluate(x, gradient=True).gradient
    assert expected is not None
    assert torch.allclose(found, expected, atol=1e-5)
    one, other = (torch.autograd.grad(g.square().sum(), field.encoding.table)[0] for g in (found, expected))
    assert torch.allclose(one, other, rtol=1e-3, atol=1e-5)


def test_outside_the_cube_the_distance_to_it_is_added():
    field = small_field()
    on_face = CENTER + HALF * torch.tensor([[1.0, 0.3, -0.2]])
    outside = on_face + torch.tensor([[0.07, 0.0, 0.0]])
    assert torch.allclose(field.distance(outside), field.distance(on_face) + 0.07, atol=1e-6)
    with torch.no_grad():
        sample = field.evaluate(outside, gradient=True)
    assert sample.gradient is not None
    assert float(sample.gradient[0, 0]) == pytest.approx(1.0)


def test_numerical_gradients_are_one_finest_open_cell_wide():
    field = small_field(gradient="numerical")
    assert field.finest_open_cell == pytest.approx(0.01, rel=1e-3)
    field.set_open_levels(1.5)
    width = field.finest_open_cell
    assert width == pytest.approx(2 * HALF / field.encoding.layout.scales[1])
    x = points(40)
    found = field.evaluate(x, gradient=True).gradient
    assert found is not None
    assert torch.allclose(found, central_differences(field, x, width / 2), atol=1e-4)
    found.square().sum().backward()
    assert field.encoding.table.grad is not None


@pytest.mark.gpu
def test_on_a_gpu_it_gives_the_same():
    def run(device: str) -> list[Tensor]:
        field = small_field().to(device)
        sample = field.evaluate(points(100).to(device), gradient=True)
        assert sample.gradient is not None
        loss = sample.distance.square().sum() + sample.gradient.square().sum() + sample.feature.square().sum()
        (to_table,) = torch.autograd.grad(loss, field.encoding.table)
        return [sample.distance.cpu(), sample.gradient.cpu(), to_table.cpu()]

    for found, expected in zip(run("cuda"), run("cpu"), strict=True):
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_opening_levels_is_checked():
    field = small_field()
    for value in (-0.1, 4.5):
        with pytest.raises(ValueError, match="open levels"):
            field.set_open_levels(value)


def test_a_checkpoint_brings_everything_back():
    field = small_field()
    field.set_open_levels(2.75)
    file = io.BytesIO()
    torch.save(field.state_dict(), file)
    file.seek(0)
    other = SignedDistanceField(CONFIG, torch.zeros(3), HALF)
    other.load_state_dict(torch.load(file, weights_only=True))
    x = points(80)
    assert torch.equal(other.distance(x), field.distance(x))
    assert other.finest_open_cell == field.finest_open_cell


def test_impossible_fields_are_refused():
    with pytest.raises(ValueError, match="half size -1"):
        SignedDistanceField(CONFIG, CENTER, -1.0)
    with pytest.raises(ValueError, match="nan"):
        SignedDistanceField(CONFIG, torch.full((3,), float("nan")), HALF)
    with pytest.raises(ValueError, match="impossible field"):
        SignedDistanceField(FieldConfig(finest=0), CENTER, HALF)
