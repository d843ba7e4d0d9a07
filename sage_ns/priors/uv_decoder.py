"""Convolutional decoders that paint a person's attributes into a square map, as those of SEGA (arXiv 2504.14373) do.

SEGA publishes neither sizes nor code. Known is the shape: a static decoder sees the identity alone, a dynamic one
identity and expression; the static map of a person is computed once. All sizes here, the form of the blocks, and that
the dynamic map is a *change* of the static one on the face are our reconstruction.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from sage_ns.avatar.atlas import Atlas
from sage_ns.priors.attributes import COLOUR, LOG_SCALES, NUM_ATTRIBUTES
from sage_ns.priors.uv_layout import sampled

MOVING = ("face", "lips")
"""Labels of the places that the dynamic map changes."""
_COARSEST = 4
"""Width of the first map of a decoder."""
_LAST_GAIN = 0.1
"""Factor on the initial weights of the last layer: an untrained decoder changes little."""


@dataclass(frozen=True)
class UvSize:
    """Sizes of the decoders."""

    channels: tuple[int, ...]
    """Of each map, from 4 x 4 texels on; each has twice the width of the one before."""
    identity: int
    """Length of the identity code."""
    expression: int
    """Length of the expression code."""

    @property
    def resolution(self) -> int:
        """Width of the last map in texels."""
        return _COARSEST * 2 ** (len(self.channels) - 1)


SIZES: Mapping[str, UvSize] = {
    "toy": UvSize((32, 32, 16, 16), 16, 8),
    "full": UvSize((256, 128, 128, 64, 64, 32), 256, 16),
}
"""toy: 32 x 32 texels, for CPUs and tests; full: 128 x 128, for CUDA."""


class MapDecoder(nn.Module):
    """A code becomes a small map; each block doubles its width (nearest texel) and convolves it; a last one reads out.

    Args:
        num_inputs: length of the code.
        channels: see `UvSize.channels`.
    """

    def __init__(self, num_inputs: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.first = nn.Linear(num_inputs, channels[0] * _COARSEST**2)
        self.blocks = nn.ModuleList(nn.Conv2d(*pair, 3, padding=1) for pair in itertools.pairwise(channels))
        self.last = nn.Conv2d(channels[-1], NUM_ATTRIBUTES, 3, padding=1)
        with torch.no_grad():
            self.last.weight.mul_(_LAST_GAIN)
            assert self.last.bias is not None
            nn.init.zeros_(self.last.bias)

    def forward(self, codes: Float[Tensor, "batch num_inputs"]) -> Float[Tensor, "batch 9 resolution resolution"]:
        """Return one map per code."""
        hidden = F.silu(self.first(codes)).unflatten(1, (-1, _COARSEST, _COARSEST))
        for block in self.blocks:
            hidden = F.silu(block(F.interpolate(hidden, scale_factor=2.0, mode="nearest")))
        return self.last(hidden)


class UvDecoders(nn.Module):
    """Attributes at the places of an atlas: ``x = base + u (S(z) + m (D(z, e) - D(z, 0)))``, read at each place.

    S and D are maps, z is the code of the identity, e that of the expression (0 = neutral), m is 1 on places with a
    label of `MOVING` and else 0, and u is a unit for each attribute. The base differs from place to place where maps
    cannot: hair stands off by different lengths.

    Args:
        base: attributes of the mean person.
        uv: places in the maps (`sage_ns.priors.uv_layout.place_uv`).
        moving: numbers of the places that expressions change.
        size: of the decoders.
    """

    base: Tensor
    uv: Tensor
    moving: Tensor
    unit: Tensor

    def __init__(
        self,
        base: Float[Tensor, "num_places 9"],
        uv: Float[Tensor, "num_places 2"],
        moving: Int[Tensor, "num_moving"],
        size: UvSize,
    ) -> None:
        super().__init__()
        self.size = size
        unit = torch.ones(NUM_ATTRIBUTES)
        unit[LOG_SCALES], unit[COLOUR] = 0.3, 0.2
        for name, value in (("base", base), ("uv", uv), ("moving", moving), ("unit", unit)):
            self.register_buffer(name, value, persistent=False)
        self.static = MapDecoder(size.identity, size.channels)
        self.dynamic = MapDecoder(size.identity + size.expression, size.channels)

    def still(self, identity: Float[Tensor, "batch num_identity"]) -> Float[Tensor, "batch num_places 9"]:
        """Return the attributes of people without expression."""
        return self.base + self.unit * sampled(self.static(identity), self.uv)

    def expressive_map(
        self, identity: Float[Tensor, "batch num_identity"], expression: Float[Tensor, "batch num_expression"]
    ) -> Float[Tensor, "batch 9 resolution resolution"]:
        """Return D(z, e)."""
        return self.dynamic(torch.cat([identity, expression], dim=-1))

    def neutral_map(
        self, identity: Float[Tensor, "batch num_identity"]
    ) -> Float[Tensor, "batch 9 resolution resolution"]:
        """Return D(z, 0)."""
        return self.expressive_map(identity, identity.new_zeros(len(identity), self.size.expression))

    def moved(
        self,
        still: Float[Tensor, "batch num_places 9"],
        change: Float[Tensor, "batch 9 resolution resolution"],
    ) -> Float[Tensor, "batch num_places 9"]:
        """Add the map ``D(z, e) - D(z, 0)`` to attributes, at the places that expressions change."""
        return still.index_add(1, self.moving, self.unit * sampled(change, self.uv[self.moving]))

    def forward(
        self, identity: Float[Tensor, "batch num_identity"], expression: Float[Tensor, "batch num_expression"]
    ) -> Float[Tensor, "batch num_places 9"]:
        """Return the attributes of people with expressions; all of it, nothing is kept (`CachedPerson` keeps)."""
        change = self.expressive_map(identity, expression) - self.neutral_map(identity)
        return self.moved(self.still(identity), change)


class CachedPerson:
    """One person as playback needs them: what the expression does not change is computed once.

    Args:
        decoders: of the prior, or those that were personalised.
        identity: code of the person.
    """

    def __init__(self, decoders: UvDecoders, identity: Float[Tensor, "num_identity"]) -> None:
        self._decoders, self._identity = decoders, identity[None]
        with torch.no_grad():
            self._still = decoders.still(self._identity)
            self._neutral = decoders.neutral_map(self._identity)

    @property
    def still(self) -> Float[Tensor, "num_places 9"]:
        """Attributes without expression."""
        return self._still[0]

    def attributes(self, expression: Float[Tensor, "num_expression"]) -> Float[Tensor, "num_places 9"]:
        """Return the attributes with an expression: equal to all of `UvDecoders`, to the last bit."""
        change = self._decoders.expressive_map(self._identity, expression[None]) - self._neutral
        return self._decoders.moved(self._still, change)[0]

    def changes(self, expression: Float[Tensor, "num_expression"]) -> Float[Tensor, "num_expression num_moving 9"]:
        """Return the derivative of the attributes of the moving places by each entry of the expression code."""

        def painted(code: Tensor) -> Tensor:
            return self._decoders.expressive_map(self._identity, code[None])[0]

        with torch.no_grad():
            slopes = torch.func.jacfwd(painted)(expression)
            maps = slopes.movedim(-1, 0)
            return self._decoders.unit * sampled(maps, self._decoders.uv[self._decoders.moving])


def moving_places(atlas: Atlas) -> Int[Tensor, "num_moving"]:
    """Return the numbers of the places that expressions change."""
    return atlas.labelled(*MOVING).nonzero()[:, 0]
