"""TensorFlow Lite's operations on torch; pictures keep TensorFlow's order of axes (batch, height, width, channels).

torch wants channels first. A picture whose channels come last in memory is turned by `permute` without a copy, which
is torch's layout `channels_last`, so that no operation here moves memory for the order of axes alone.

What the operations compute: TensorFlow Lite's reference (tensorflow.org/lite, "TensorFlow and LiteRT operations") and
`tf.nn`'s rules of padding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sage_ns.tracking.networks.graph import MOST_VALUES

Options = Mapping[str, tuple[int, ...]]
Apply = Callable[[Sequence[Tensor], Sequence[tuple[int, ...]], Options], Tensor]
"""From an operation's floating point tensors, its integer constants (flat), and its options, to the result."""

_SAME, _VALID = 0, 1
_RELU, _RELU6 = 1, 3


class Unsupported(ValueError):
    """An operation has options that are not implemented, or inputs that do not fit."""


def channels_first(picture: Tensor) -> Tensor:
    """Return [batch, height, width, channels] as [batch, channels, height, width], on the same memory."""
    return picture.permute(0, 3, 1, 2)


def channels_last(picture: Tensor) -> Tensor:
    """Undo `channels_first`."""
    return picture.permute(0, 2, 3, 1)


def option(options: Options, name: str, default: int = 0) -> int:
    """Return an option that is one number."""
    values = options.get(name, (default,))
    if len(values) != 1:
        raise Unsupported(f"option {name}: found {len(values)} numbers, expected 1")
    return values[0]


def same_padding(size: int, window: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    r"""Return the padding before and after an axis under TensorFlow's rule "SAME".

    The result has $\lceil size / stride \rceil$ values; an odd padding is larger after.
    """
    reach = (window - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def activated(result: Tensor, options: Options) -> Tensor:
    """Apply the activation that is fused with an operation."""
    kind = option(options, "fused_activation_function")
    if kind not in (0, _RELU, _RELU6):
        raise Unsupported(f"fused activation {kind}")
    return result if kind == 0 else result.clamp(0.0, 6.0) if kind == _RELU6 else result.relu()


def _bounded(shape: Sequence[int]) -> None:
    """Refuse a result that takes too much memory, before it is made."""
    if math.prod(shape) > MOST_VALUES:
        raise Unsupported(f"a result of shape {list(shape)}, more than {MOST_VALUES} values")


def _strides(options: Options) -> tuple[int, int]:
    strides = option(options, "stride_h"), option(options, "stride_w")
    if not all(1 <= each <= 64 for each in strides):
        raise Unsupported(f"strides {strides}")
    return strides


def _padded(picture: Tensor, window: tuple[int, int], options: Options, value: float = 0.0) -> Tensor:
    """Pad a picture [batch, channels, height, width] as the options say."""
    kind = option(options, "padding")
    if kind == _VALID:
        return picture
    if kind != _SAME:
        raise Unsupported(f"padding {kind}")
    dilation = option(options, "dilation_h_factor", 1), option(options, "dilation_w_factor", 1)
    (top, bottom), (left, right) = (
        same_padding(*each) for each in zip(picture.shape[2:], window, _strides(options), dilation, strict=True)
    )
    if not (top or bottom or left or right):
        return picture
    _bounded((*picture.shape[:2], picture.shape[2] + top + bottom, picture.shape[3] + left + right))
    return F.pad(picture, (left, right, top, bottom), value=value)


def _convolved(tensors: Sequence[Tensor], options: Options, weight: Tensor, groups: int) -> Tensor:
    picture, bias = tensors[0], tensors[2] if len(tensors) > 2 else None
    dilation = option(options, "dilation_h_factor", 1), option(options, "dilation_w_factor", 1)
    height, width = weight.shape[2:]
    padded = _padded(channels_first(picture), (height, width), options)
    _bounded((padded.shape[2], padded.shape[3], weight.shape[0]))
    return activated(
        channels_last(F.conv2d(padded, weight, bias, _strides(options), dilation=dilation, groups=groups)), options
    )


def _conv_2d(tensors: Sequence[Tensor], _: Sequence[tuple[int, ...]], options: Options) -> Tensor:
    # Weights: [outputs, height, width, inputs].
    if tensors[1].shape[1:3] == (1, 1) and _strides(options) == (1, 1):
        _bounded((*tensors[0].shape[1:3], len(tensors[1])))
        bias = tensors[2] if len(tensors) > 2 else None
        return activated(F.linear(tensors[0], tensors[1][:, 0, 0], bias), options)  # the same product, without copies
    return _convolved(tensors, options, channels_first(tensors[1]), 1)


def _depthwise_conv_2d(tensors: Sequence[Tensor], _: Sequence[tuple[int, ...]], options: Options) -> Tensor:
    # Weights: [1, height, width, outputs]; output c * multiplier + m is of input c.
    return _convolved(tensors, options, tensors[1].permute(3, 0, 1, 2), tensors[0].shape[3])


def _transpose_conv_bias(tensors: Sequence[Tensor], _: Sequence[tuple[int, ...]], options: Options) -> Tensor:
    # Weights: [outputs, height, width, inputs]. Where windows tile the result, there is nothing to pad or to cut.
    weight = tensors[1].permute(3, 0, 1, 2)
    if tuple(weight.shape[2:]) != _strides(options):
        raise Unsupported(f"a transposed convolution whose window {list(weight.shape[2:])} is not its stride")
    _bounded((*tensors[0].shape[1:3], weight.shape[1], *weight.shape[2:]))
    return channels_last(F.conv_transpose2d(channels_first(tensors[0]), weight, tensors[2], stride=_strides(options)))


def _window(options: Options) -> tuple[int, int]:
    window = option(options, "filter_height"), option(options, "filter_width")
    if not all(1 <= each <= 1024 for each in window):
        raise Unsupported(f"a window of {window}")
    return window


def _max_pool_2d(tensors: Sequence[Tensor], _: Sequence[tuple[int, ...]], options: Options) -> Tensor:
    padded = _padded(channels_first(tensors[0]), _window(options), options, -torch.inf)
    return activated(channels_last(F.max_pool2d(padded, _window(options), _strides(options))), options)


def _average_pool_2d(tensors: Sequence[Tensor], _: Sequence[tuple[int, ...]], options: Options) -> Tensor:
    picture = channels_first(tensors[0])
    if _padded(picture, _window(options), options) is not picture:
        raise Unsupported("means over windows that reach out of the picture")
    if _window(options) == tuple(picture.shape[2:]):  # torch's own pooling takes the largest windows slowly
        return activated(tensors[0].mean((1, 2), keepdim=True), options)
    return activated(channels_last(F.avg_pool2d(picture, _window(options), _strides(options))), options)


def _prelu(tensors: Sequence[Tensor], _: Sequence[tuple[int, ...]], options: Options) -> Tensor:
    # For slopes of one value per channel, as the known networks have them, torch has a fast kernel.
    if tensors[1].numel() == tensors[0].shape[-1]:
        return channels_last(F.prelu(channels_first(tensors[0]), tensors[1].flatten()))
    _bounded(torch.broadcast_shapes(tensors[0].shape, tensors[1].shape))
    return torch.where(tensors[0] > 0, tensors[0], tensors[0] * tensors[1])


def _pad(tensors: Sequence[Tensor], integers: Sequence[tuple[int, ...]], options: Options) -> Tensor:
    before_after = integers[0]
    if len(before_after) != 2 * tensors[0].dim() or min(before_after) < 0:
        raise Unsupported(f"padding {before_after}")
    pairs = [before_after[place : place + 2] for place in range(0, len(before_after), 2)]
    _bounded([size + sum(pair) for size, pair in zip(tensors[0].shape, pairs, strict=True)])
    return F.pad(tensors[0], [size for pair in reversed(pairs) for size in pair])  # torch wants the last axis first


def _reshape(tensors: Sequence[Tensor], integers: Sequence[tuple[int, ...]], options: Options) -> Tensor:
    return tensors[0].reshape(integers[0] if integers else options["new_shape"])


def _transpose(tensors: Sequence[Tensor], integers: Sequence[tuple[int, ...]], _: Options) -> Tensor:
    return tensors[0].permute(integers[0])


def _concatenation(tensors: Sequence[Tensor], _: Sequence[tuple[int, ...]], options: Options) -> Tensor:
    _bounded([sum(each.numel() for each in tensors)])
    return activated(torch.cat(list(tensors), option(options, "axis")), options)


def _mean(tensors: Sequence[Tensor], integers: Sequence[tuple[int, ...]], options: Options) -> Tensor:
    return tensors[0].mean(integers[0], keepdim=bool(option(options, "keep_dims")))


def _sum(tensors: Sequence[Tensor], integers: Sequence[tuple[int, ...]], options: Options) -> Tensor:
    return tensors[0].sum(integers[0], keepdim=bool(option(options, "keep_dims")))


def _resize_bilinear(tensors: Sequence[Tensor], integers: Sequence[tuple[int, ...]], options: Options) -> Tensor:
    corners, centers = option(options, "align_corners"), option(options, "half_pixel_centers")
    if bool(corners) == bool(centers):
        raise Unsupported("bilinear resizing neither by pixels' centres nor by the picture's corners")
    size = list(integers[0])
    _bounded((tensors[0].shape[3], *size))
    resized = F.interpolate(channels_first(tensors[0]), size, mode="bilinear", align_corners=bool(corners))
    return channels_last(resized)


def _strided_slice(tensors: Sequence[Tensor], integers: Sequence[tuple[int, ...]], options: Options) -> Tensor:
    """Bit i of a mask says that begin or end of axis i are not given, or that the axis is taken away."""
    if option(options, "ellipsis_mask") or option(options, "new_axis_mask"):
        raise Unsupported("a slice with an ellipsis or a new axis")
    begins, ends, strides = integers
    free_begin, free_end = option(options, "begin_mask"), option(options, "end_mask")
    taken = option(options, "shrink_axis_mask")
    index: list[slice | int] = []
    for axis, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        if stride < 1:
            raise Unsupported("a slice that goes backwards")
        if taken >> axis & 1:
            index.append(begin)
        else:
            index.append(
                slice(None if free_begin >> axis & 1 else begin, None if free_end >> axis & 1 else end, stride)
            )
    return tensors[0][tuple(index)]


def _of_one(function: Callable[[Tensor], Tensor]) -> Apply:
    return lambda tensors, integers, options: function(tensors[0])


def _of_two(function: Callable[[Tensor, Tensor], Tensor]) -> Apply:
    def apply(tensors: Sequence[Tensor], _: Sequence[tuple[int, ...]], options: Options) -> Tensor:
        _bounded(torch.broadcast_shapes(tensors[0].shape, tensors[1].shape))
        return activated(function(tensors[0], tensors[1]), options)

    return apply


OPERATIONS: Mapping[str, Apply] = {
    "ADD": _of_two(torch.add),
    "SUB": _of_two(torch.sub),
    "MUL": _of_two(torch.mul),
    "DIV": _of_two(torch.div),
    "SQUARED_DIFFERENCE": _of_two(lambda a, b: (a - b).square()),
    "NEG": _of_one(torch.neg),
    "SQRT": _of_one(torch.sqrt),
    "RSQRT": _of_one(torch.rsqrt),
    "RELU": _of_one(torch.relu),
    "LOGISTIC": _of_one(torch.sigmoid),
    "HARD_SWISH": _of_one(F.hardswish),
    "PRELU": _prelu,
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "Convolution2DTransposeBias": _transpose_conv_bias,
    "MAX_POOL_2D": _max_pool_2d,
    "AVERAGE_POOL_2D": _average_pool_2d,
    "PAD": _pad,
    "RESHAPE": _reshape,
    "TRANSPOSE": _transpose,
    "CONCATENATION": _concatenation,
    "MEAN": _mean,
    "SUM": _sum,
    "RESIZE_BILINEAR": _resize_bilinear,
    "STRIDED_SLICE": _strided_slice,
}
"""By TensorFlow Lite's names."""
