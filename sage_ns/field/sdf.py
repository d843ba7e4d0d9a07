"""The head's signed distance field: a grid of features and a small network, in canonical world space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sage_ns.field.encoding import GridEncoding
from sage_ns.field.network import NetworkOutput, evaluate_network

INITIAL_RADIUS = 0.5
"""The zero surface starts as a sphere of about this radius, in units of half the cube's edge."""


@dataclass
class FieldNetwork:
    """Settings that signed distance fields of all sizes share."""

    features_per_level: int = 2
    """features per grid vertex"""
    coarsest: int = 16
    """vertices along an edge of the coarsest level"""
    hidden: int = 64
    """width of the network's hidden layer"""
    num_features: int = 15
    """features that the network outputs besides the distance"""
    gradient: Literal["analytic", "numerical"] = "analytic"
    """how the distance's gradient is computed; numerical: central differences over one cell of the finest open level"""


@dataclass
class FieldConfig(FieldNetwork):
    """Size of a signed distance field."""

    num_levels: int = 8
    """levels of the feature grid"""
    log2_table_size: int = 17
    """levels with more than 2**log2_table_size vertices are hashed"""
    finest: int = 224
    """vertices along an edge of the finest level; 224 are 2 mm apart in a cube of 45 cm, which holds a head with its
    hair. A count, not a length, so that all avatars have the same grid, whatever the size of their cubes"""


@dataclass(frozen=True)
class FieldSample:
    """The field at some points.

    Attributes:
        distance: metres, negative inside.
        gradient: of the distance, no unit; None if not requested.
        feature: the network's, for the appearance.
        encoding: the grid's, for the shape.
    """

    distance: Float[Tensor, " num_points"]
    gradient: Float[Tensor, "num_points 3"] | None
    feature: Float[Tensor, "num_points num_features"]
    encoding: Float[Tensor, "num_points num_encoded"]


class SignedDistanceField(nn.Module):
    """Signed distance f(x) with a feature z(x) (method Sec. 3).

    [encoding(x), x in -1..1] -> hidden layer -> softplus(100 h) / 100 -> [distance / half_size, feature]. The
    initial field is close to the distance to a sphere of half the cube's size (geometric initialisation, Atzmon &
    Lipman 2020). Outside the cube: the value at the nearest point of the cube, plus the distance to that point.

    The backward pass of each call computes one gradient of the whole table: one call with all points is cheaper than
    many.

    Args:
        config: sizes of grid and network.
        center: centre of the cube, metres, canonical world.
        half_size: half the cube's edge, metres.

    Raises:
        ValueError: a size out of range.
    """

    center: Tensor
    half_size: Tensor

    def __init__(self, config: FieldConfig, center: Float[Tensor, " 3"], half_size: float) -> None:
        super().__init__()
        if not (half_size > 0 and math.isfinite(half_size) and bool(torch.isfinite(center).all())):
            raise ValueError(
                f"a field needs a finite cube of positive size, found half size {half_size} m about {center.tolist()}"
            )
        if config.finest < 2 or config.hidden < 4 or config.num_features < 0:
            raise ValueError(f"impossible field: {config}; give finest >= 2, hidden >= 4 and num_features >= 0")
        self.config = config
        self.encoding = GridEncoding(
            config.num_levels,
            config.features_per_level,
            config.log2_table_size,
            config.coarsest,
            max(config.coarsest, config.finest),
        )
        self.hidden = nn.Linear(self.encoding.num_features + 3, config.hidden)
        self.output = nn.Linear(config.hidden, 1 + config.num_features)
        self.register_buffer("center", center.detach().to(torch.float32).clone())
        self.register_buffer("half_size", torch.tensor(half_size, dtype=torch.float32))
        self._half_size_number = float(self.half_size)
        self._start_as_sphere()

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._half_size_number = float(self.half_size)

    @property
    def num_encoded(self) -> int:
        """Features of the grid."""
        return self.encoding.num_features

    @property
    def finest_open_cell(self) -> float:
        """Edge of the cells of the finest level in use, metres."""
        last = max(0, math.ceil(self.encoding.open_levels) - 1)
        # A plain number: reading the buffer from a CUDA device would make every step wait.
        return 2.0 * self._half_size_number / self.encoding.layout.scales[last]

    def set_open_levels(self, value: float) -> None:
        """Use this many levels of the grid, coarse to fine; a fraction fades the last one in.

        Raises:
            ValueError: not within 0..num_levels.
        """
        if not 0.0 <= value <= self.config.num_levels:
            raise ValueError(f"{value} open levels: give a number in 0..{self.config.num_levels}")
        self.encoding.open_levels = float(value)

    def normalised(self, x: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points 3"]:
        """Return canonical points in units of half the cube's edge from its centre: -1..1 inside."""
        return (x - self.center) / self.half_size

    def distance(self, x: Float[Tensor, "num_points 3"]) -> Float[Tensor, " num_points"]:
        """Compute the signed distance alone, metres."""
        inside, excess = self._split(x)
        output = self._network(self._encode(inside), inside, False, num_outputs=1)
        return self.half_size * (output.distance + torch.linalg.vector_norm(excess, dim=-1))

    def evaluate(self, x: Float[Tensor, "num_points 3"], gradient: bool | Literal["detached"] = False) -> FieldSample:
        """Compute distance, features and, on request, the gradient of the distance; differentiable in parameters and x.

        Args:
            x: canonical world, metres.
            gradient: True if a loss depends on it, "detached" if it is only read.
        """
        inside, excess = self._split(x)
        encoding = self._encode(inside)
        analytic = bool(gradient) and self.config.gradient == "analytic"
        output = self._network(encoding, inside, analytic)
        distance = self.half_size * (output.distance + torch.linalg.vector_norm(excess, dim=-1))
        found = None
        if gradient:
            with torch.set_grad_enabled(torch.is_grad_enabled() and gradient is True):
                found = self._gradient(inside, excess, output) if analytic else self.taps(x)
        return FieldSample(distance, found, output.feature, encoding)

    def taps(self, x: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points 3"]:
        """Compute the gradient by central differences over a finest open cell (Li et al. 2023, Neuralangelo, Eq. 4)."""
        width = self.finest_open_cell
        offsets = 0.5 * width * torch.eye(3, dtype=x.dtype, device=x.device)
        points = torch.stack((x[:, None] + offsets, x[:, None] - offsets))
        ahead, behind = self.distance(points.reshape(-1, 3)).reshape(2, -1, 3)
        return (ahead - behind) / width

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest point of the cube and the offset from it, both in units of half the cube's edge."""
        place = self.normalised(x)
        inside = place.clamp(-1.0, 1.0)
        return inside, place - inside

    def _encode(self, inside: Tensor) -> Tensor:
        return self.encoding(0.5 * inside + 0.5)

    def _network(
        self, encoding: Tensor, inside: Tensor, derivative: bool, num_outputs: int | None = None
    ) -> NetworkOutput:
        weight, bias = self.output.weight[:num_outputs], self.output.bias[:num_outputs]
        return evaluate_network(encoding, inside, self.hidden.weight, self.hidden.bias, weight, bias, derivative)

    def _gradient(self, inside: Tensor, excess: Tensor, output: NetworkOutput) -> Tensor:
        """Apply the chain rule by hand; every factor is a differentiable operation, so losses may use the result."""
        assert output.to_encoding is not None and output.to_position is not None
        through_encoding = self.encoding.position_gradient(0.5 * inside + 0.5, output.to_encoding)
        gradient = output.to_position + 0.5 * through_encoding
        # Outside, moving x away from a face changes the distance to the nearest point of the cube, not that point.
        outward = excess / torch.linalg.vector_norm(excess, dim=-1, keepdim=True).clamp(min=1e-12)
        return torch.where(excess == 0.0, gradient, outward)

    @torch.no_grad()
    def _start_as_sphere(self) -> None:
        """Start as a sphere: relu(d . x) averages to |x| / 4 over directions d spread evenly on the sphere."""
        num = self.config.hidden
        height = 1.0 - 2.0 * (torch.arange(num) + 0.5) / num
        turn = math.pi * (3.0 - math.sqrt(5.0)) * torch.arange(num)
        radius = (1.0 - height**2).sqrt()
        directions = torch.stack((radius * turn.cos(), radius * turn.sin(), height), dim=-1)
        self.hidden.weight[:, -3:] = directions
        self.hidden.weight[:, :-3].normal_(0.0, math.sqrt(2.0 / num))
        self.hidden.bias.zero_()
        self.output.weight.normal_(0.0, math.sqrt(2.0 / num))
        self.output.bias.zero_()
        self.output.weight[0] = 4.0 / num
        self.output.bias[0] = -INITIAL_RADIUS
