"""TensorFlow Lite's operations against closed forms and torch's own functions in its own order of axes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sage_ns.tracking.networks.operations import OPERATIONS, Unsupported, same_padding

STRIDE_2 = {"stride_h": (2,), "stride_w": (2,)}
STRIDE_1 = {"stride_h": (1,), "stride_w": (1,)}
WINDOW_2 = {"filter_height": (2,), "filter_width": (2,)}
VALID, SAME = {"padding": (1,)}, {"padding": (0,)}


def apply(kind: str, *tensors: Tensor, integers: Any = (), **options: Any) -> Tensor:
    return OPERATIONS[kind](tensors, integers, options)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def first(picture: Tensor) -> Tensor:
    return picture.permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("size", "window", "stride", "dilation", "padding"),
    [(8, 3, 1, 1, (1, 1)), (8, 3, 2, 1, (0, 1)), (7, 3, 2, 1, (1, 1)), (8, 5, 2, 1, (1, 2)), (8, 2, 2, 1, (0, 0)),
     (8, 3, 1, 2, (2, 2)), (3, 1, 2, 1, (0, 0))],
)  # fmt: skip
def test_padding_gives_every_step_a_window(size, window, stride, dilation, padding):
    assert same_padding(size, window, stride, dilation) == padding
    num_windows = (size + sum(padding) - (window - 1) * dilation - 1) // stride + 1
    assert num_windows == -(-size // stride)


def test_convolutions():
    picture, weight, bias = random(1, 6, 7, 3), random(4, 3, 3, 3, seed=1), random(4, seed=2)
    found = apply("CONV_2D", picture, weight, bias, **SAME, **STRIDE_1, fused_activation_function=(1,))
    torch.testing.assert_close(first(found), F.conv2d(first(picture), first(weight), bias, padding=1).relu())
    found = apply("CONV_2D", picture, weight, **VALID, **STRIDE_2)
    torch.testing.assert_close(first(found), F.conv2d(first(picture), first(weight), stride=2))
    spread = {"dilation_h_factor": (2,), "dilation_w_factor": (2,)}
    found = apply("CONV_2D", picture, weight, bias, **SAME, **STRIDE_1, **spread)
    torch.testing.assert_close(first(found), F.conv2d(first(picture), first(weight), bias, padding=2, dilation=2))


def test_depthwise_convolution_keeps_channels_apart():
    picture, weight = random(1, 6, 6, 3), random(1, 3, 3, 6, seed=1)
    found = apply("DEPTHWISE_CONV_2D", picture, weight, random(6, seed=2), **VALID, **STRIDE_1)
    for output in range(6):
        channel = picture[..., output // 2][:, None]
        alone = F.conv2d(channel, weight[..., output][:, None]) + random(6, seed=2)[output]
        torch.testing.assert_close(found[..., output], alone[:, 0])


def test_transposed_convolution_undoes_a_tiling():
    blocks, weight = random(1, 2, 2, 3), random(1, 2, 2, 3, seed=1)
    found = apply("Convolution2DTransposeBias", blocks, weight, torch.tensor([0.5]).double(), **STRIDE_2)
    assert found.shape == (1, 4, 4, 1)
    torch.testing.assert_close(found[0, 2:, :2, 0], (weight[0] * blocks[0, 1, 0]).sum(-1) + 0.5)


def test_pooling():
    picture = torch.arange(16.0).reshape(1, 4, 4, 1)
    most = apply("MAX_POOL_2D", picture, **SAME, **STRIDE_2, **WINDOW_2)
    assert most.flatten().tolist() == [5, 7, 13, 15]
    negative = apply("MAX_POOL_2D", -1 - picture[:, :3, :3], **SAME, **STRIDE_2, **WINDOW_2)
    assert negative.flatten().tolist() == [-1, -3, -9, -11]  # padding is never the largest
    assert apply("AVERAGE_POOL_2D", picture, **VALID, **STRIDE_2, **WINDOW_2).flatten().tolist() == [
        2.5,
        4.5,
        10.5,
        12.5,
    ]
    whole = apply("AVERAGE_POOL_2D", picture, **VALID, **STRIDE_1, filter_height=(4,), filter_width=(4,))
    assert whole.shape == (1, 1, 1, 1) and float(whole) == 7.5


def test_functions_of_single_values():
    x = torch.tensor([-4.0, -1.0, 0.0, 1.0, 4.0]).double()
    torch.testing.assert_close(apply("HARD_SWISH", x), x * (x + 3).clamp(0, 6) / 6)
    torch.testing.assert_close(apply("LOGISTIC", x), 1 / (1 + (-x).exp()))
    torch.testing.assert_close(apply("RSQRT", x.abs() + 1), (x.abs() + 1) ** -0.5)
    assert apply("RELU", x).tolist() == [0, 0, 0, 1, 4]
    assert apply("NEG", x).tolist() == [4, 1, 0, -1, -4]
    picture, slope = random(1, 3, 3, 2), torch.tensor([0.5, -2.0]).double()
    expected = torch.where(picture > 0, picture, picture * slope)
    torch.testing.assert_close(apply("PRELU", picture, slope.reshape(1, 1, 2)), expected)
    places = random(1, 3, 3, 1, seed=1)
    torch.testing.assert_close(apply("PRELU", picture, places), torch.where(picture > 0, picture, picture * places))


def test_functions_of_two_values_spread_over_axes():
    a, b = random(2, 3), random(3, seed=1)
    for kind, expected in {"ADD": a + b, "SUB": a - b, "MUL": a * b, "DIV": a / b}.items():
        torch.testing.assert_close(apply(kind, a, b), expected)
        torch.testing.assert_close(apply(kind, a, b, fused_activation_function=(3,)), expected.clamp(0, 6))
    torch.testing.assert_close(apply("SQUARED_DIFFERENCE", a, b), (a - b) ** 2)


def test_shapes_and_parts():
    x = random(2, 3, 4)
    padded = apply("PAD", x, integers=[(0, 0, 1, 0, 0, 2)])
    assert padded.shape == (2, 4, 6)
    assert torch.equal(padded[:, 1:, :4], x) and float(padded.abs().sum()) == float(x.abs().sum())
    assert torch.equal(apply("TRANSPOSE", x, integers=[(2, 0, 1)]), x.permute(2, 0, 1))
    assert apply("RESHAPE", x, integers=[(4, -1)]).shape == apply("RESHAPE", x, new_shape=(4, 6)).shape == (4, 6)
    assert torch.equal(apply("CONCATENATION", x, x, axis=(-2,)), torch.cat([x, x], 1))
    torch.testing.assert_close(apply("MEAN", x, integers=[(1,)], keep_dims=(1,)), x.mean(1, keepdim=True))
    torch.testing.assert_close(apply("SUM", x, integers=[(0, 2)]), x.sum((0, 2)))
    part = apply("STRIDED_SLICE", x, integers=[(1, 9, 0), (0, 2, 4), (1, 1, 2)], begin_mask=(2,), shrink_axis_mask=(1,))
    assert torch.equal(part, x[1, :2, 0:4:2])


def test_bilinear_resizing_by_pixels_centres():
    ramp = torch.arange(4.0).reshape(1, 1, 4, 1)
    found = apply("RESIZE_BILINEAR", ramp, integers=[(1, 8)], half_pixel_centers=(1,)).flatten()
    assert found.tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    assert apply("RESIZE_BILINEAR", ramp, integers=[(1, 7)], align_corners=(1,)).flatten().tolist()[1] == 0.5


@pytest.mark.parametrize(
    ("kind", "shapes", "integers", "options"),
    [
        ("CONV_2D", [(1, 4, 4, 1), (1, 3, 3, 1)], [], {"padding": (7,), **STRIDE_1}),
        ("CONV_2D", [(1, 4, 4, 1), (1, 3, 3, 1)], [], {"stride_h": (0,), "stride_w": (0,)}),
        ("ADD", [(3,), (3,)], [], {"fused_activation_function": (5,)}),
        ("ADD", [(3,), (3,)], [], {"fused_activation_function": (0, 0)}),
        ("ADD", [(5000, 1), (1, 5000)], [], {}),
        ("PAD", [(3,)], [(0, 2**40)], {}),
        ("PAD", [(3,)], [(-1, 0)], {}),
        ("RESIZE_BILINEAR", [(1, 2, 2, 1)], [(2**20, 2**20)], {"half_pixel_centers": (1,)}),
        ("RESIZE_BILINEAR", [(1, 2, 2, 1)], [(4, 4)], {}),
        ("STRIDED_SLICE", [(3,)], [(0,), (3,), (-1,)], {}),
        ("STRIDED_SLICE", [(3,)], [(0,), (3,), (1,)], {"ellipsis_mask": (1,)}),
        ("AVERAGE_POOL_2D", [(1, 3, 3, 1)], [], {**SAME, **STRIDE_2, **WINDOW_2}),
        ("MAX_POOL_2D", [(1, 3, 3, 1)], [], {**STRIDE_1, "filter_height": (0,), "filter_width": (2,)}),
        ("Convolution2DTransposeBias", [(1, 2, 2, 1), (1, 3, 3, 1), (1,)], [], STRIDE_2),
    ],
)
def test_options_that_are_not_implemented_are_refused(kind, shapes, integers, options):
    with pytest.raises(Unsupported):
        apply(kind, *(torch.ones(shape) for shape in shapes), integers=integers, **options)
