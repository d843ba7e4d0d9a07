"""Rows of surfels are added, removed, reordered and given new values here, and nowhere else.

A surfel is one row of many tensors: its parameters and their gradients, its triangle, the details that networks add to
it, the moments that optimisers keep of it, and masks over surfels. An edit changes all of them together and in place:
the tensors stay the same objects, so that modules, optimisers and hooks stay attached (cf. the strategies of gsplat,
which exchange the parameters instead).

What somebody has derived from the rows is stale after an edit that changes their number or order; `SurfelRows.edited`
is called then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from torch.optim import Optimizer

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar
    from sage_ns.avatar.prediction import SurfelNetworks
    from sage_ns.avatar.surfels import BoundSurfels


@dataclass(frozen=True)
class SurfelRows:
    """All tensors with one row per surfel, by name."""

    parameters: Mapping[str, nn.Parameter]
    """What is learned; the names are those of the optimiser groups."""
    buffers: Mapping[str, Tensor] = field(default_factory=dict)
    """What is not: the bound triangle, settled centres, masks."""
    optimizers: Sequence[Optimizer] = ()
    """Those that may hold state of the parameters; others do no harm."""
    optional: frozenset[str] = frozenset()
    """Names that are 0 for added surfels unless they say otherwise."""
    edited: Callable[[], None] = lambda: None
    """Called after the number or the order of the rows has changed."""

    @property
    def num_rows(self) -> int:
        """How many surfels there are."""
        return len(next(iter(self.parameters.values())))

    @classmethod
    def of_surfels(cls, surfels: BoundSurfels, optimizers: Iterable[Optimizer] = ()) -> SurfelRows:
        """The rows of surfels alone, for edits that leave number and order as they are."""
        parameters = {name: getattr(surfels, name) for name in surfels.PARAMETERS}
        return cls(parameters, {"triangle": surfels.triangle}, tuple(optimizers))

    @classmethod
    def of_avatar(
        cls,
        avatar: Avatar,
        networks: SurfelNetworks | None = None,
        held: Bool[Tensor, "num_surfels"] | None = None,
        optimizers: Iterable[Optimizer] = (),
    ) -> SurfelRows:
        """Everything that belongs to the surfels of an avatar in training.

        Args:
            avatar: what it derives from its surfels is made anew after an edit.
            networks: those with a detail per surfel.
            held: mask of surfels that learn nothing; added surfels learn.
            optimizers: of surfels and details.
        """
        rows = cls.of_surfels(avatar.surfels)
        details = {} if networks is None else {name: getattr(networks, name) for name in networks.DETAILS}
        buffers = dict(rows.buffers)
        if avatar.is_settled:
            buffers["settled"] = avatar.settled
        if held is not None:
            buffers["held"] = held
        return cls(
            parameters={**rows.parameters, **details},
            buffers=buffers,
            optimizers=tuple(optimizers),
            optional=frozenset({*details, "held"}),
            edited=avatar.forget,
        )


def keep(rows: SurfelRows, chosen: Bool[Tensor, "num_surfels"] | Int[Tensor, "num_kept"]) -> None:
    """Keep the chosen surfels alone: those of a mask, or those of indices in the order of the indices.

    Each kept row, its moments included, goes on as if the others had never been there.
    """
    _edit(rows, lambda name, tensor: tensor[chosen], lambda tensor: tensor[chosen])


def remove(rows: SurfelRows, removed: Bool[Tensor, "num_surfels"]) -> None:
    """Remove the surfels of a mask."""
    keep(rows, ~removed)


def reorder(rows: SurfelRows, order: Int[Tensor, "num_surfels"]) -> None:
    """Put surfel ``order[i]`` into row i.

    Raises:
        ValueError: ``order`` does not name every surfel once.
    """
    if not torch.equal(order.sort().values, torch.arange(rows.num_rows, device=order.device)):
        raise ValueError(f"reorder: 'order' names {len(order)} rows, expected each of {rows.num_rows} surfels once")
    keep(rows, order)


def append(rows: SurfelRows, new: Mapping[str, Tensor]) -> None:
    """Add surfels after the others.

    Their moments start at 0, but the optimiser's count of steps is one for all rows of a parameter and goes on. An
    added row therefore learns exactly as a row that was there from the first step on and had gradients of 0 until now.
    Adam no longer corrects such a row's moments for their start at 0: its first steps are up to
    (1 - beta_1) / sqrt(1 - beta_2), with the usual betas 3.2, times as long as those of a new optimiser.

    Args:
        rows: are added to.
        new: the new rows of every parameter and buffer by name; `SurfelRows.optional` ones may be left out.

    Raises:
        ValueError: a tensor is missing, unknown, or of another shape than the surfels'.
    """
    tensors = {**rows.parameters, **rows.buffers}
    lengths = {len(value) for value in new.values()}
    if len(lengths) != 1:
        raise ValueError(f"append: found {sorted(lengths)} rows, expected one number of new surfels in all tensors")
    (num_new,) = lengths
    unknown = sorted(set(new) - set(tensors))
    missing = sorted(set(tensors) - set(new) - rows.optional)
    if unknown or missing:
        raise ValueError(f"append: missing {missing}, unknown {unknown}; expected {sorted(tensors)}")
    for name, value in new.items():
        if value.shape[1:] != tensors[name].shape[1:]:
            expected = [num_new, *tensors[name].shape[1:]]
            raise ValueError(f"append: '{name}': found shape {list(value.shape)}, expected {expected}")

    def grown(tensor: Tensor, value: Tensor | None = None) -> Tensor:
        added = tensor.new_zeros(num_new, *tensor.shape[1:]) if value is None else value.detach().to(tensor)
        return torch.cat([tensor, added])

    _edit(rows, lambda name, tensor: grown(tensor, new.get(name)), grown)


@torch.no_grad()
def overwrite(
    rows: SurfelRows,
    chosen: Bool[Tensor, "num_surfels"],
    values: Mapping[str, Tensor],
    fresh: Iterable[str] = (),
) -> None:
    """Give the chosen surfels other values, as rebinding does; number and order of rows stay.

    Args:
        rows: are written to.
        chosen: mask of surfels.
        values: their values by the name of parameter or buffer.
        fresh: parameters whose moments belong to the old values: they start at 0 again.
    """
    tensors = {**rows.parameters, **rows.buffers}
    for name, value in values.items():
        tensors[name][chosen] = value
    reset_moments(rows, chosen, fresh)


@torch.no_grad()
def reset_moments(rows: SurfelRows, chosen: Bool[Tensor, "num_surfels"], names: Iterable[str]) -> None:
    """Set what optimisers remember of the chosen surfels to 0.

    Args:
        rows: whose optimisers are meant; parameters that no optimiser has stepped yet are left alone.
        chosen: mask of surfels.
        names: of the parameters.
    """
    for name in names:
        for moments, key in _moments(rows, rows.parameters[name]):
            moments[key][chosen] = 0.0


def _edit(
    rows: SurfelRows, change: Callable[[str, Tensor], Tensor], change_unnamed: Callable[[Tensor], Tensor]
) -> None:
    """Change every tensor with a row per surfel.

    Args:
        rows: all of them.
        change: new value of a parameter or buffer from its name and its value.
        change_unnamed: new value of a gradient, or of an optimiser's tensor.
    """
    with torch.no_grad():
        # Values first: should one fail, nothing has been edited yet.
        values = {name: change(name, tensor.detach()) for name, tensor in {**rows.parameters, **rows.buffers}.items()}
        for name, parameter in rows.parameters.items():
            gradient = parameter.grad
            for moments, key in _moments(rows, parameter):
                moments[key] = change_unnamed(moments[key])
            _resize(parameter, values[name])
            parameter.grad = None if gradient is None else change_unnamed(gradient)
        for name, buffer in rows.buffers.items():
            buffer.data = values[name]
    rows.edited()


def _moments(rows: SurfelRows, parameter: nn.Parameter) -> list[tuple[dict[str, Tensor], str]]:
    """Where optimisers keep tensors with a row per surfel (exp_avg, momentum_buffer, ...): their state, and the key.

    Counters of steps have no rows: they have another shape than the parameter.
    """
    states = [optimizer.state[parameter] for optimizer in rows.optimizers if parameter in optimizer.state]
    return [
        (state, key)
        for state in states
        for key, value in state.items()
        if isinstance(value, Tensor) and value.shape == parameter.shape
    ]


def _resize(parameter: nn.Parameter, value: Tensor) -> None:
    """Give a parameter another number of rows; it stays the same object.

    As long as a graph of an earlier step is alive (a training loop still holds its loss), so is the graph's node that
    collects the parameter's gradient, and torch would use it for the next graph, too, with the shape that it has
    noted. A change of type makes torch drop that node: the value goes there and back.
    """
    parameter.grad = None
    other = torch.float32 if parameter.dtype == torch.float64 else torch.float64
    parameter.data = torch.empty(0, dtype=other, device=parameter.device)
    parameter.data = value
