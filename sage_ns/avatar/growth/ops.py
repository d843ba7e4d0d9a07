"""Edits of rows of surfels: adding, removing, reordering and overwriting. No other module changes rows.

A surfel is one row of many tensors: its parameters and their gradients, its triangle, the details of the networks, the
moments of the optimisers, and masks over surfels. An edit changes all of them together and in place: the tensors stay
the same objects, and modules, optimisers and hooks stay attached (the strategies of gsplat replace the parameters
instead).

An edit that changes the number or order of the rows makes data derived from them invalid, and calls
`SurfelRows.edited`.
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
    """Learned tensors; the names are those of the optimiser groups."""
    buffers: Mapping[str, Tensor] = field(default_factory=dict)
    """Tensors that are not learned: the bound triangle, settled centres, masks."""
    optimizers: Sequence[Optimizer] = ()
    """Optimisers that may hold state of the parameters; others are ignored."""
    optional: frozenset[str] = frozenset()
    """Names of tensors that `append` fills with 0 if no values are given."""
    edited: Callable[[], None] = lambda: None
    """Called after the number or the order of the rows has changed."""

    @property
    def num_rows(self) -> int:
        """Number of surfels."""
        return len(next(iter(self.parameters.values())))

    @classmethod
    def of_surfels(cls, surfels: BoundSurfels, optimizers: Iterable[Optimizer] = ()) -> SurfelRows:
        """Return the rows of surfels alone, for edits that do not change number or order."""
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
        """Return all rows of the surfels of an avatar in training.

        Args:
            avatar: the avatar; an edit invalidates what it has derived from its surfels.
            networks: networks with details per surfel.
            held: mask of surfels that training does not change; added surfels are not held.
            optimizers: optimisers of surfels and details.
        """
        rows = cls.of_surfels(avatar.surfels)
        details = {} if networks is None else networks.details()
        buffers = dict(rows.buffers)
        if avatar.is_settled:
            buffers["settled"] = avatar.settled
        if len(avatar.evidence) > 0:
            buffers["evidence"] = avatar.evidence
        if len(avatar.displacement) > 0:
            buffers["displacement"] = avatar.displacement
        if held is not None:
            buffers["held"] = held
        return cls(
            parameters={**rows.parameters, **details},
            buffers=buffers,
            optimizers=tuple(optimizers),
            optional=frozenset({*details, "held", "evidence", "displacement"}),
            edited=avatar.invalidate,
        )


def keep(rows: SurfelRows, chosen: Bool[Tensor, "num_surfels"] | Int[Tensor, "num_kept"]) -> None:
    """Keep only the chosen surfels: those of a mask, or those of indices in the order of the indices.

    Training continues for each kept row, with its moments, as if the other rows had never existed.
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

    Their moments start at 0. The step count of the optimiser is shared by all rows of a parameter and continues. An
    added row therefore learns exactly like a row that existed from the first step on and had gradients of 0 until now.
    Adam does not correct the moments of such a row for their start at 0: its first steps are up to
    (1 - beta_1) / sqrt(1 - beta_2) times as long as those of a new optimiser, 3.2 times with the usual betas.

    Args:
        rows: rows to extend.
        new: new rows of every parameter and buffer by name; those in `SurfelRows.optional` may be missing.

    Raises:
        ValueError: a tensor is missing or unknown, or its shape differs from that of the surfels.
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
    """Overwrite values of the chosen surfels, as rebinding does; number and order of rows do not change.

    Args:
        rows: rows to write to.
        chosen: mask of surfels.
        values: new values by name of parameter or buffer.
        fresh: names of parameters whose moments are not valid for the new values and are reset to 0.
    """
    tensors = {**rows.parameters, **rows.buffers}
    for name, value in values.items():
        tensors[name][chosen] = value
    reset_moments(rows, chosen, fresh)


@torch.no_grad()
def reset_moments(rows: SurfelRows, chosen: Bool[Tensor, "num_surfels"], names: Iterable[str]) -> None:
    """Set the optimisers' moments of the chosen surfels to 0.

    Args:
        rows: rows with the optimisers; parameters without optimiser state are skipped.
        chosen: mask of surfels.
        names: names of the parameters.
    """
    for name in names:
        for moments, key in _moments(rows, rows.parameters[name]):
            moments[key][chosen] = 0.0


def _edit(
    rows: SurfelRows, change: Callable[[str, Tensor], Tensor], change_unnamed: Callable[[Tensor], Tensor]
) -> None:
    """Change every tensor with a row per surfel.

    Args:
        rows: rows to change.
        change: returns the new value of a parameter or buffer from its name and value.
        change_unnamed: returns the new value of a gradient or of a tensor of an optimiser.
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
    """Return (state, key) of all optimiser tensors with a row per surfel (exp_avg, momentum_buffer, ...).

    Step counters have no rows: their shape differs from that of the parameter.
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

    While a graph of an earlier step is alive (a training loop still holds its loss), the node that accumulates the
    gradient of the parameter is alive, too. Torch would use this node, with its recorded shape, for the next graph. A
    change of dtype makes torch drop the node; the function therefore assigns another dtype, and then the value.
    """
    parameter.grad = None
    other = torch.float32 if parameter.dtype == torch.float64 else torch.float64
    parameter.data = torch.empty(0, dtype=other, device=parameter.device)
    parameter.data = value
