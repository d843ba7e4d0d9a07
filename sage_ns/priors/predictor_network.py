"""The networks of a predictor: a picture becomes a guess of the head, and features of the person become surfels.

The parts are those of SHeaP (arXiv 2504.12292): learnt tokens beside those of the picture, one for each kind of answer,
and graph convolutions over places of the head that have learnt embeddings. Sizes are our own: its networks start from
weights that this one does without.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sage_ns.avatar.light import plain_light
from sage_ns.geometry.rotations import rotation_6d_to_matrix
from sage_ns.priors.predictor_rig import HeadGuess
from sage_ns.priors.predictor_size import STRIDE, PredictorSize

_TOKENS = ("shape", "expression", "pose", "light", "person")
"""Learnt tokens, in the order in which they are appended."""
_FIRST_OUTPUT = 0.01
"""Size of the weights of the last layers before learning: guesses start at the mean head from the front."""
_OUTPUTS = 13
"""Of a surfel: offset 3, scales 2, rotation 4, colour 3, opacity 1."""


class HeadNetwork(nn.Module):
    """From a square of a picture to a guess of the head, and features of the person.

    Args:
        size: sizes.
        num_shape: identity directions.
        num_expression: expression directions.
    """

    plain_light: Tensor
    ahead: Tensor

    def __init__(self, size: PredictorSize, num_shape: int, num_expression: int) -> None:
        super().__init__()
        channels = (3, size.width // 4, size.width // 2, 3 * size.width // 4, size.width)
        stem: list[nn.Module] = []
        for before, after in pairwise(channels):
            stem += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.GELU()]
        self.stem = nn.Sequential(*stem)
        count = (size.side // STRIDE) ** 2
        self.tokens = nn.Parameter(0.02 * torch.randn(len(_TOKENS), size.width))
        self.positions = nn.Parameter(0.02 * torch.randn(count, size.width))
        block = nn.TransformerEncoderLayer(
            size.width, size.heads, 4 * size.width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(
            block, size.blocks, norm=nn.LayerNorm(size.width), enable_nested_tensor=False
        )
        outputs = {"shape": num_shape, "expression": num_expression, "pose": 3 + 4 + 6 + 3, "light": 27,
                   "person": size.features}  # fmt: skip
        layers = {name: nn.Linear(size.width, outputs[name]) for name in _TOKENS}
        for name in _TOKENS[:-1]:
            nn.init.normal_(layers[name].weight, std=_FIRST_OUTPUT)
            nn.init.zeros_(layers[name].bias)
        self.heads = nn.ModuleDict(layers)
        # Buffers, not numbers: a step on CUDA must not wait for constants from the CPU.
        self.register_buffer("plain_light", plain_light(), persistent=False)
        self.register_buffer("ahead", torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]), persistent=False)

    def forward(self, pictures: Float[Tensor, "n side side 3"]) -> tuple[HeadGuess, Float[Tensor, "n features"]]:
        """Return guesses, and features of the persons, for squares of pictures (sRGB, 0..1)."""
        seen = self.stem(2 * pictures.permute(0, 3, 1, 2) - 1).flatten(2).mT + self.positions
        own = self.tokens.expand(len(pictures), -1, -1)
        tokens = self.blocks(torch.cat([seen, own], dim=1))[:, -len(_TOKENS) :]
        shape, expression, pose, light, person = (
            self.heads[name](tokens[:, number]) for number, name in enumerate(_TOKENS)
        )
        jaw, eyes, turn, place = pose.split([3, 4, 6, 3], dim=1)
        guess = HeadGuess(
            shape=shape,
            expression=expression,
            jaw=0.2 * jaw,
            eyes=0.2 * eyes,
            rotation=rotation_6d_to_matrix(self.ahead + turn),
            place=0.2 * place,
            light=self.plain_light + light.reshape(-1, 9, 3),
        )
        return guess, person


class _GraphConvolution(nn.Module):
    """``h_i + W2 gelu(W1 [h_i, mean of h_j over the neighbours j of i])``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(2 * width, 2 * width), nn.Linear(2 * width, width)

    def forward(
        self, h: Float[Tensor, "n num_places width"], neighbours: Int[Tensor, "num_places num_neighbours"]
    ) -> Float[Tensor, "n num_places width"]:
        around = h[:, neighbours].mean(dim=2)
        return h + self.outer(nn.functional.gelu(self.inner(torch.cat([h, around], dim=-1))))


class SurfelNetwork(nn.Module):
    """From features of a person to what differs from the first surfel at each place.

    Args:
        size: sizes.
    """

    def __init__(self, size: PredictorSize) -> None:
        super().__init__()
        self.places = nn.Parameter(0.1 * torch.randn(size.places, size.place_width))
        self.person = nn.Linear(size.features, size.place_width)
        self.convolutions = nn.ModuleList(_GraphConvolution(size.place_width) for _ in range(2))
        self.last = nn.Linear(size.place_width, _OUTPUTS)
        nn.init.normal_(self.last.weight, std=_FIRST_OUTPUT)
        nn.init.zeros_(self.last.bias)

    def forward(
        self, person: Float[Tensor, "n features"], neighbours: Int[Tensor, "num_places num_neighbours"]
    ) -> Float[Tensor, "n num_places 13"]:
        """Return offset 3, logarithms of scales 2, rotation 4, colour 3 and opacity 1 of each surfel."""
        h = self.places + self.person(person)[:, None]
        for convolution in self.convolutions:
            h = convolution(h, neighbours)
        return self.last(h)
