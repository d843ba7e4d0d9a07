"""What a network is: operations in a fixed order on numbered tensors, some of which are constants."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sage_ns.errors import NetworkError

ABSENT = -1
"""In place of a tensor that an operation may do without."""
MOST_TENSORS = 20_000
MOST_VALUES = 2**24
"""Values of one tensor: 64 MiB in memory. The largest of the known networks has 262,144."""
MOST_AXES = 6
LARGEST_WEIGHT = 65504.0
"""Weights were published in half precision, which ends here."""


@dataclass(frozen=True)
class Operation:
    """One step of a network."""

    kind: str
    """TensorFlow Lite's name, such as `CONV_2D`; custom operations have a name of their own."""
    inputs: tuple[int, ...]
    """Numbers of tensors; `ABSENT` for one that is left out."""
    output: int
    options: Mapping[str, tuple[int, ...]]
    """Numbers by the names of TensorFlow Lite's schema, such as `stride_w`."""


@dataclass(frozen=True, eq=False)
class Graph:
    """A network of one picture (batch of one); tensors have TensorFlow's order of axes: batch, height, width, channels.

    Raises:
        NetworkError: from `check`.
    """

    shapes: tuple[tuple[int, ...], ...]
    """Of every tensor, by its number."""
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    constants: Mapping[int, np.ndarray]
    """Weights (floating point) and sizes, axes and the like (integers), by the number of the tensor."""
    operations: tuple[Operation, ...]

    def check(self, source: str) -> None:
        """Refuse a network whose parts do not fit together; what the operations themselves need is checked later.

        Args:
            source: the file, for messages.

        Raises:
            NetworkError: names the file and the tensor.
        """
        check_shapes(self.shapes, source)
        for number, values in self.constants.items():
            _check_constant(number, values, self.shapes, source)
        known = {*self.constants, *self.inputs}
        distinct = len(known) == len(self.constants) + len(self.inputs)
        if not (self.inputs and self.outputs and self.operations and distinct):
            raise NetworkError(f"{source}: expected a network with inputs, outputs and operations. {HINT}")
        if any(not 0 <= number < len(self.shapes) for number in self.inputs):
            raise NetworkError(f"{source}: its inputs are not all tensors of the network. {HINT}")
        for step, each in enumerate(self.operations):
            unknown = [number for number in each.inputs if number != ABSENT and number not in known]
            if unknown:
                raise NetworkError(
                    f"{source}: operation {step} ({each.kind}) uses tensor {unknown[0]}, which no earlier one makes. "
                    f"{HINT}"
                )
            if each.output in known or not 0 <= each.output < len(self.shapes):
                raise NetworkError(
                    f"{source}: operation {step} ({each.kind}) makes tensor {each.output}, expected a new one. {HINT}"
                )
            known.add(each.output)
        if not known.issuperset(self.outputs):
            raise NetworkError(f"{source}: its outputs are not all made by an operation. {HINT}")


HINT = "Use the file as its authors publish it."


def check_shapes(shapes: tuple[tuple[int, ...], ...], source: str) -> None:
    """Refuse tensors that are too many or too large, or have sizes below 1.

    Raises:
        NetworkError: names the file and the tensor.
    """
    if len(shapes) > MOST_TENSORS:
        raise NetworkError(f"{source}: found {len(shapes)} tensors, expected at most {MOST_TENSORS}. {HINT}")
    for number, shape in enumerate(shapes):
        if len(shape) > MOST_AXES or min(shape, default=1) < 1 or math.prod(shape) > MOST_VALUES:
            raise NetworkError(
                f"{source}: tensor {number}: found shape {list(shape)[: MOST_AXES + 1]}, expected at most {MOST_AXES} "
                f"positive sizes and {MOST_VALUES} values. {HINT}"
            )


def _check_constant(number: int, values: np.ndarray, shapes: tuple[tuple[int, ...], ...], source: str) -> None:
    if not 0 <= number < len(shapes) or values.shape != shapes[number]:
        expected = f"shape {list(shapes[number])}" if 0 <= number < len(shapes) else f"tensors 0..{len(shapes) - 1}"
        raise NetworkError(
            f"{source}: constant {number}: found shape {list(values.shape)}, expected {expected}. {HINT}"
        )
    # A comparison with NaN is false.
    if values.dtype.kind == "f" and not bool((np.abs(values.astype(np.float32)) <= LARGEST_WEIGHT).all()):
        raise NetworkError(
            f"{source}: constant {number}: found weights that are not finite or above {LARGEST_WEIGHT:g}. {HINT}"
        )
