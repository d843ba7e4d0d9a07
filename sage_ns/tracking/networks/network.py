"""Run a network on torch, on any device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sage_ns.errors import NetworkError
from sage_ns.tracking.networks.graph import ABSENT, HINT, Graph, Operation
from sage_ns.tracking.networks.operations import OPERATIONS


class Network(nn.Module):
    """A network that was read from a file.

    Args:
        graph: the network.
        source: its file, for messages.

    Raises:
        NetworkError: an operation is not known, or its inputs do not have the shapes that it needs, or make more
            values than `MOST_VALUES`. A run on zeros finds that out.
    """

    def __init__(self, graph: Graph, source: str) -> None:
        super().__init__()
        self._source = source
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self.shapes = graph.shapes
        self._integers: dict[int, tuple[int, ...]] = {}
        for number, values in graph.constants.items():
            if values.dtype.kind == "f":
                self.register_buffer(f"constant_{number}", torch.from_numpy(values.astype("float32")), persistent=False)
            else:
                self._integers[number] = tuple(values.reshape(-1).tolist())
        self._constants = tuple(number for number in graph.constants if number not in self._integers)
        self._operations = graph.operations
        last_use = {number: step for step, each in enumerate(graph.operations) for number in each.inputs}
        kept = {ABSENT, *self.outputs, *self._constants, *self._integers}
        self._done_with = [
            tuple(number for number in {*each.inputs} if number not in kept and last_use[number] == step)
            for step, each in enumerate(graph.operations)
        ]
        self._check()

    def shape_of(self, number: int) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self.shapes[number]

    @torch.inference_mode()
    def forward(self, *pictures: Float[Tensor, "..."]) -> list[Float[Tensor, "..."]]:
        """Return the outputs for inputs in the shapes that the network has."""
        return self._run(dict(zip(self.inputs, pictures, strict=True)), self._weights())

    def _weights(self) -> dict[int, Tensor]:
        return {number: getattr(self, f"constant_{number}") for number in self._constants}

    def _run(self, values: dict[int, Tensor], weights: dict[int, Tensor], checked: bool = False) -> list[Tensor]:
        values = {**weights, **values}
        for step, each in enumerate(self._operations):
            values[each.output] = self._checked(step, each, values) if checked else self._applied(each, values)
            for number in self._done_with[step]:
                del values[number]
        return [values[number] for number in self.outputs]

    def _applied(self, each: Operation, values: dict[int, Tensor]) -> Tensor:
        tensors = [values[number] for number in each.inputs if number in values]
        integers = [self._integers[number] for number in each.inputs if number in self._integers]
        return OPERATIONS[each.kind](tensors, integers, each.options)

    def _checked(self, step: int, each: Operation, values: dict[int, Tensor]) -> Tensor:
        place = f"{self._source}: operation {step} ({each.kind[:40]})"
        if each.kind not in OPERATIONS:
            raise NetworkError(f"{place}: expected one of {', '.join(OPERATIONS)}. Use another network.")
        try:
            result = self._applied(each, values)
        except (ValueError, RuntimeError, TypeError, IndexError, KeyError, OverflowError, AttributeError) as fault:
            # torch's own words about shapes; the rest of its messages are traces of C++.
            reason = str(fault).partition("\n")[0][:200]
            raise NetworkError(f"{place}: its inputs do not fit ({reason}). {HINT}") from fault
        if tuple(result.shape) != self.shapes[each.output]:
            raise NetworkError(
                f"{place}: makes shape {list(result.shape)}, but the file says {list(self.shapes[each.output])}. {HINT}"
            )
        return result

    def _check(self) -> None:
        """Run the network once. (torch's tensors without values would need no time for it, but 10 s of imports.)"""
        zeros = [torch.zeros(self.shapes[number]) for number in self.inputs]
        with torch.inference_mode():
            self._run(dict(zip(self.inputs, zeros, strict=True)), self._weights(), checked=True)


def require_shapes(
    network: Network, source: str, inputs: Sequence[tuple[int, ...]], outputs: Sequence[tuple[int, ...]]
) -> None:
    """Refuse a network that is not the one which is needed.

    Args:
        network: the network.
        source: its file and name, for messages.
        inputs: shapes that it must have.
        outputs: the same; it may have more.

    Raises:
        NetworkError: names the file, and the shapes that were found.
    """
    found = [network.shape_of(number) for number in network.inputs]
    made = [network.shape_of(number) for number in network.outputs]
    if found != list(inputs) or made[: len(outputs)] != list(outputs):
        raise NetworkError(
            f"{source}: found inputs {found[:4]} and outputs {made[:4]}, expected {list(inputs)} and {list(outputs)}. "
            "Use the file that the documentation names."
        )
