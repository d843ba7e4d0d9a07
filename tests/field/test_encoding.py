"""The grid encoding: closed forms, gradients of the definition, the compiled twin, backends, checkpoints."""

from __future__ import annotations

import io
import sys
import types
from typing import Any

import pytest
import torch
from torch import Tensor

from sage_ns.errors import FieldError
from sage_ns.field.encoding import GridEncoding
from sage_ns.field.encoding_numba import OpenLevels, encode_numba, position_gradient_numba
from sage_ns.field.encoding_tinycudann import TinyCudaGrid, tinycudann_config
from sage_ns.field.encoding_torch import corner_entries, encode_torch
from sage_ns.field.grid_layout import grid_layout

SMALL: dict[str, Any] = {"num_levels": 4, "log2_table_size": 9, "coarsest": 4, "finest": 30}


def small_encoding(**changes) -> GridEncoding:
    torch.manual_seed(0)
    encoding = GridEncoding(**{**SMALL, **changes})
    torch.nn.init.normal_(encoding.table)
    return encoding


def points(num: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(num, 3, generator=torch.Generator().manual_seed(num))


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float(((found.detach().double() - expected.detach()).norm() / expected.detach().norm()).item())


def test_levels_grow_geometrically_and_hash_what_does_not_fit():
    layout = grid_layout(8, 17, 16, 192)
    assert layout.resolutions[0] == 16
    assert layout.resolutions[-1] in (192, 193)
    ratios = [(b + 1) / (a + 1) for a, b in zip(layout.scales, layout.scales[1:], strict=False)]
    assert ratios == pytest.approx([12 ** (1 / 7)] * 7, rel=1e-5)
    for resolution, size, hashed in zip(layout.resolutions, layout.sizes, layout.hashed, strict=True):
        assert hashed == (resolution**3 > 2**17)
        assert size == 2**17 if hashed else resolution**3 <= size < resolution**3 + 8


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_a_linear_function_of_the_vertices_is_reproduced_with_its_gradient(backend: str):
    encoding = GridEncoding(num_levels=1, coarsest=9, finest=9, backend=backend)  # type: ignore[arg-type]
    vertices = torch.cartesian_prod(*[torch.arange(9.0)] * 3).flip(1)  # x fastest
    slope = torch.tensor([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])
    with torch.no_grad():
        encoding.table[: 9**3] = vertices @ slope.T
    x = points(50, 0.05, 0.9)
    expected = (x * 8 + 0.5) @ slope.T
    assert torch.allclose(encoding(x), expected, atol=1e-4)
    cotangent = torch.tensor([1.0, -2.0]).expand(50, 2)
    expected = (8 * (slope[0] - 2 * slope[1])).expand(50, 3)
    assert torch.allclose(encoding.position_gradient(x, cotangent), expected, atol=1e-3)


def test_neighbouring_cells_share_the_entries_of_their_common_face():
    layout = grid_layout(**SMALL)
    for level in range(layout.num_levels):
        here, beside = (corner_entries(torch.tensor([[x, 1, 2]]), layout, level)[0] for x in (1, 2))
        assert here[1::2].tolist() == beside[0::2].tolist()


def test_first_and_second_gradients_of_the_definition():
    layout = grid_layout(2, 6, 3, 7)
    assert layout.hashed == (False, True)
    generator = torch.Generator().manual_seed(3)
    table = torch.randn(layout.offsets[-1], 2, generator=generator, dtype=torch.float64).requires_grad_()
    x = torch.tensor([[0.31, 0.47, 0.74], [0.12, 0.88, 0.4]], dtype=torch.float64).requires_grad_()

    def encode(x: Tensor, table: Tensor) -> Tensor:
        return encode_torch(x, table, layout, (1.0, 0.3))

    assert torch.autograd.gradcheck(encode, (x, table))
    assert torch.autograd.gradgradcheck(encode, (x, table))


@pytest.mark.parametrize("num", [1, 257, 1000])
def test_compiled_features_and_gradients_equal_the_definition(num: int):
    layout, weights = grid_layout(**SMALL), (1.0, 1.0, 0.4, 0.0)
    table = torch.randn(layout.offsets[-1], 2, generator=torch.Generator().manual_seed(1))
    x, v = points(num, -0.1, 1.1), points(num, -1.0, 1.0)
    cotangent, weighting = torch.randn(num, 8), torch.randn(table.shape)

    def all_orders(dtype: torch.dtype, compiled: bool) -> list[Tensor]:
        leaves = [tensor.to(dtype).requires_grad_() for tensor in (x, table, cotangent)]
        if compiled:
            y = encode_numba(leaves[0], leaves[1], OpenLevels(layout, weights))
        else:
            y = encode_torch(leaves[0], leaves[1], layout, weights)
        to_x, to_table = torch.autograd.grad(y, leaves[:2], leaves[2], create_graph=True)
        through_x = torch.autograd.grad((to_x * v.to(dtype)).sum(), leaves, retain_graph=True)
        through_table = torch.autograd.grad((to_table * weighting.to(dtype)).sum(), (leaves[0], leaves[2]))
        return [y, to_x, to_table, *through_x, *through_table]

    for found, expected in zip(all_orders(torch.float32, True), all_orders(torch.float64, False), strict=True):
        assert relative_error(found, expected) < 2e-5


def test_compiled_position_gradient_feeds_a_loss_like_the_definition():
    encoding = small_encoding()
    cotangent = torch.randn(300, 8)

    def gradients(encoding: GridEncoding, dtype: torch.dtype) -> tuple[Tensor, ...]:
        x, c = points(300).to(dtype).requires_grad_(), cotangent.to(dtype).requires_grad_()
        found = encoding.position_gradient(x, c)
        return found, *torch.autograd.grad(found.square().sum(), (x, c, encoding.table))

    compiled = gradients(encoding, torch.float32)
    for found, expected in zip(compiled, gradients(encoding.double(), torch.float64), strict=True):
        assert relative_error(found, expected) < 2e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_position_gradient_needs_no_graph(dtype: torch.dtype):
    encoding = small_encoding().to(dtype)
    x, cotangent = points(40).to(dtype), torch.randn(40, 8, dtype=dtype)
    with torch.no_grad():
        found = encoding.position_gradient(x, cotangent)
    assert not found.requires_grad
    x.requires_grad_()
    (expected,) = torch.autograd.grad(encoding(x), x, cotangent)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_results_do_not_depend_on_the_number_of_threads():
    layout = grid_layout(**SMALL)
    levels = OpenLevels(layout, (1.0,) * 4)
    table = torch.randn(layout.offsets[-1], 2)
    x, cotangent = points(20_000), torch.randn(20_000, 8)

    def run(threads: int) -> list[Tensor]:
        torch.set_num_threads(threads)
        leaves = [x.clone().requires_grad_(), table.clone().requires_grad_()]
        y = encode_numba(leaves[0], leaves[1], levels)
        gradient = position_gradient_numba(leaves[0], leaves[1], cotangent, levels)
        return [y, gradient, *torch.autograd.grad((y * cotangent).sum() + gradient.square().sum(), leaves)]

    before = torch.get_num_threads()
    try:
        for one, two in zip(run(1), run(2), strict=True):
            assert torch.equal(one, two)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_closed_levels_are_zero_and_the_last_one_fades_in(backend: str):
    encoding = small_encoding(backend=backend)
    x = points(100)
    full = encoding(x)
    encoding.open_levels = 1.25
    features = encoding(x)
    assert torch.allclose(features[:, :2], full[:, :2])
    assert torch.allclose(features[:, 2:4], 0.25 * full[:, 2:4], atol=1e-6)
    assert not features[:, 4:].any()
    features.square().sum().backward()
    first_closed = encoding.layout.offsets[2]
    assert encoding.table.grad is not None
    assert encoding.table.grad[:first_closed].any()
    assert not encoding.table.grad[first_closed:].any()
    encoding.open_levels = 0.0
    assert not encoding(x).any()
    assert not encoding.position_gradient(x, torch.ones(100, 8)).any()


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_points_outside_have_the_features_of_the_border_and_do_not_reach_through_it(backend: str):
    encoding = small_encoding(backend=backend)
    outside, border = torch.tensor([[1.7, 0.4, -0.2]]), torch.tensor([[1.0, 0.4, 0.0]])
    assert torch.equal(encoding(outside), encoding(border))
    gradient = encoding.position_gradient(outside, torch.ones(1, 8))[0]
    assert gradient[0] == gradient[2] == 0.0
    assert gradient[1] != 0.0


def test_compiled_kernels_survive_broken_and_absent_points():
    encoding = small_encoding(backend="numba")
    nan = float("nan")
    encoding(torch.tensor([[nan, 0.5, float("inf")], [-float("inf"), nan, nan]])).sum().backward()
    assert encoding(torch.empty(0, 3)).shape == (0, 8)
    assert encoding.position_gradient(torch.empty(0, 3), torch.empty(0, 8)).shape == (0, 3)


def test_a_checkpoint_keeps_table_and_open_levels():
    encoding = small_encoding()
    encoding.open_levels = 2.5
    file = io.BytesIO()
    torch.save(encoding.state_dict(), file)
    file.seek(0)
    other = GridEncoding(**SMALL)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert other.open_levels == 2.5
    assert torch.equal(other(points(30)), encoding(points(30)))


def test_a_checkpoint_of_another_grid_is_refused():
    with pytest.raises(FieldError, match="vertices along an edge"):
        GridEncoding(**SMALL).load_state_dict(small_encoding(finest=40).state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_levels": 0}, "0 levels"),
        ({"coarsest": 1}, "resolutions from 1"),
        ({"finest": 3}, "resolutions from 4 to 3"),
        ({"log2_table_size": 40}, r"2\^40"),
        ({"features_per_level": 3}, "3 features"),
        ({"backend": "cuda"}, "unknown backend"),
    ],
)
def test_impossible_grids_are_refused(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        GridEncoding(**{**SMALL, **changes})


def test_a_backend_that_cannot_serve_says_so():
    with pytest.raises(FieldError, match="float32 on the CPU"):
        small_encoding(backend="numba")(points(3).double())
    with pytest.raises(FieldError, match="float32 on CUDA"):
        small_encoding(backend="tinycudann")(points(3))
    assert small_encoding(features_per_level=4)(points(3)).shape == (3, 16)


class StandIn(torch.nn.Module):
    """Behaves as tiny-cuda-nn's bindings do: one flat parameter, built from the description alone."""

    factor = 1.0

    def __init__(self, num_inputs: int, config: dict, dtype: torch.dtype):
        super().__init__()
        assert num_inputs == 3
        assert config["otype"] == "HashGrid"
        finest = config["base_resolution"] * config["per_level_scale"] ** (config["n_levels"] - 1)
        sizes = (config["n_levels"], config["log2_hashmap_size"], config["base_resolution"], round(finest))
        self.layout, self.width = grid_layout(*sizes), config["n_features_per_level"]
        self.params = torch.nn.Parameter(torch.zeros(self.layout.offsets[-1] * self.width, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        table = self.params.reshape(-1, self.width)
        return self.factor * encode_torch(x, table, self.layout, (1.0,) * self.layout.num_levels)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    class Fresh(StandIn):
        pass

    module = types.ModuleType("tinycudann")
    module.Encoding = Fresh  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tinycudann", module)
    return Fresh


def test_tinycudann_reads_our_table_and_gives_it_gradients(stand_in: type[StandIn]):
    encoding = small_encoding()
    grid = TinyCudaGrid(encoding.table, encoding.layout)
    x, weights = points(20, -0.1, 1.1), (1.0, 1.0, 0.5, 0.0)
    expected = encode_torch(x, encoding.table, encoding.layout, weights)
    found = grid.encode(x, encoding.table, weights)
    assert torch.allclose(found, expected)
    one, other = (torch.autograd.grad(y.square().sum(), encoding.table)[0] for y in (found, expected))
    assert torch.allclose(one, other)


def test_another_tinycudann_is_refused(stand_in: type[StandIn]):
    encoding = small_encoding()
    with pytest.raises(FieldError, match="lays the grid out"):
        TinyCudaGrid(encoding.table[8:], encoding.layout)
    stand_in.factor = 1.01
    with pytest.raises(FieldError, match="differs from the definition"):
        TinyCudaGrid(encoding.table, encoding.layout)


def test_a_tinycudann_that_disagrees_is_not_used_with_a_warning(
    stand_in: type[StandIn], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sage_ns.field.encoding_tinycudann.available", lambda: True)
    assert small_encoding()._tinycudann_fits()
    stand_in.factor = 1.01
    encoding = small_encoding()
    with pytest.warns(UserWarning, match="differs from the definition"):
        assert not encoding._tinycudann_fits()
    assert not encoding._tinycudann_fits()


def test_absent_tinycudann_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tinycudann", None)
    encoding = small_encoding()
    with pytest.raises(FieldError, match="install tiny-cuda-nn"):
        TinyCudaGrid(encoding.table, encoding.layout)


def test_tinycudann_gets_the_same_levels():
    config = tinycudann_config(grid_layout(8, 17, 16, 192), 2)
    assert config["base_resolution"] == 16
    assert config["per_level_scale"] == pytest.approx(12 ** (1 / 7), rel=1e-5)
    assert (config["n_levels"], config["n_features_per_level"], config["log2_hashmap_size"]) == (8, 2, 17)
