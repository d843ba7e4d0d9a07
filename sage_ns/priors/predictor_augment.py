"""Drawn heads as a camera might have seen them: light, background, hair, crop, things before the face, blur, exposure.

All of it is drawn on the CPU from a generator and then computed where the pictures are: no step waits for the device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.light import NUM_LIGHT, light_factors
from sage_ns.geometry.spherical_harmonics import sh_basis
from sage_ns.priors.predictor_pictures import DrawnHeads
from sage_ns.priors.predictor_rig import CROP_OF_BOX, SquareCamera
from sage_ns.synthetic.painted_people import unlit_values
from sage_ns.system.devices import sent

_LAMBERT = (0.25, 0.5, 0.3125)
"""Of degree 0 to 2 in Legendre's polynomials: ``max(0, cos)`` (Ramamoorthi and Hanrahan 2001)."""
_BLOBS = 3
"""Soft ellipses behind the head: hair, clothes."""


@dataclass(frozen=True, eq=False)
class Chances:
    """What is drawn for each picture."""

    light: Float[Tensor, "n 9 3"]
    shift: Float[Tensor, "n 2"]
    """Of the square's middle, sides of the box."""
    zoom: Float[Tensor, "n"]
    """Factor on the square's side."""
    background: Float[Tensor, "n 3 4 4"]
    """Colours that are enlarged to the picture."""
    grain: Float[Tensor, "n 3 16 16"]
    blobs: Float[Tensor, "n 3 8"]
    """Middle 2, radii 2 (sides of the square), colour 3, and strength of each blob behind the head."""
    cover: Float[Tensor, "n 8"]
    """The same of one thing before the head."""
    blur: Float[Tensor, "n"]
    """Share of a blurred copy."""
    gain: Float[Tensor, "n 3"]
    gamma: Float[Tensor, "n"]
    noise: Float[Tensor, "n 3 16 16"]

    def to(self, device: torch.device | str) -> Chances:
        """Send all of it to a device; see `sent`."""
        return Chances(*(sent(getattr(self, field.name), device) for field in fields(self)))


def chances(count: int, generator: torch.Generator) -> Chances:
    """Draw chances for some pictures; on the CPU."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator).clamp(-2.5, 2.5)

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    def blob(*shape: int, share: float, middle: float, low: float, high: float) -> Tensor:
        strength = (uniform(*shape, 1) < share).float()
        color = uniform(*shape, 3).square()
        return torch.cat(
            [0.5 + middle * normal(*shape, 2), uniform(*shape, 2, low=low, high=high), color, strength], dim=-1
        )

    return Chances(
        light=_lights(count, generator),
        shift=0.06 * normal(2),
        zoom=(0.09 * normal()).exp(),
        background=(uniform(3, 1, 1) + 0.25 * normal(3, 4, 4)).clamp(0, 1),
        grain=0.10 * uniform(1, 1, 1) * normal(3, 16, 16),
        blobs=blob(_BLOBS, share=0.6, middle=0.25, low=0.25, high=0.75),
        cover=blob(share=0.25, middle=0.35, low=0.05, high=0.25),
        blur=(uniform() - 0.5).clamp_min(0.0) * 2,
        gain=(0.10 * normal(1) + 0.06 * normal(3)).exp(),
        gamma=(0.12 * normal()).exp(),
        noise=0.03 * uniform(1, 1, 1) * normal(3, 16, 16),
    )


def _lights(count: int, generator: torch.Generator) -> Float[Tensor, "n 9 3"]:
    """Draw lights: one that comes from everywhere, and a lamp, each with a tint."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator).clamp(-2.5, 2.5)

    chance = torch.rand(2, count, 1, generator=generator)
    ambient, lamp = 0.45 + 0.5 * chance[0], 0.6 * chance[1]
    towards = F.normalize(normal(3) * torch.tensor([1.0, 0.7, 0.6]) + torch.tensor([0.0, 0.4, 0.6]), dim=1)
    tints = (0.05 * normal(2, 1, 3)).exp()
    degree = torch.tensor([0] + [1] * 3 + [2] * 5)
    factor = torch.tensor([4 * math.pi / (2 * each + 1) * _LAMBERT[each] for each in (0, 1, 2)])[degree]
    of_lamp = (factor * sh_basis(towards, NUM_LIGHT) * lamp)[..., None] * tints[:, 0]
    of_room = ambient[:, :, None] * tints[:, 1]
    light = of_lamp
    light[:, :1] += of_room * math.sqrt(4 * math.pi)
    return light


@dataclass(frozen=True, eq=False)
class Seen:
    """Squares of pictures, and what is known about them."""

    pictures: Float[Tensor, "n side side 3"]
    """As the network sees them, 0..1."""
    clean: Float[Tensor, "n side side 3"]
    """The head alone, in the light, premultiplied by its coverage."""
    cover: Float[Tensor, "n side side 1"]
    camera: SquareCamera
    light: Float[Tensor, "n 9 3"]
    """With the gain of the picture."""


def seen(heads: DrawnHeads, drawn: Chances, side: int) -> Seen:
    """Return pictures of heads with these chances, at a side of the network's [pixels]."""
    full = heads.channels.shape[1]
    low, high = heads.box.split(2, dim=1)
    box = (high - low).amax(dim=1)
    camera = SquareCamera(
        focal=heads.focal,
        principal=torch.full_like(low, full / 2),
        center=0.5 * (low + high) + drawn.shift * box[:, None],
        side=CROP_OF_BOX * box * drawn.zoom,
    )
    color, normal, cover = unlit_values(heads.channels)
    light = drawn.light * drawn.gain[:, None]
    factors = light_factors(light, F.normalize(normal, dim=-1, eps=1e-3).flatten(1, 2)).reshape_as(color)
    taken = _taken(torch.cat([(color * factors).clamp(0.0, 1.0), cover], dim=-1), camera, full, side)
    clean, cover = taken.split([3, 1], dim=-1)
    pictures = clean + (1 - cover) * _behind(drawn, side)
    pictures = _covered(pictures, drawn.cover[:, None])
    soft = F.avg_pool2d(pictures.permute(0, 3, 1, 2), 3, stride=1, padding=1, count_include_pad=False)
    pictures = torch.lerp(pictures, soft.permute(0, 2, 3, 1), drawn.blur[:, None, None, None])
    pictures = (pictures + _enlarged(drawn.noise, side)).clamp(1e-4, 1.0) ** drawn.gamma[:, None, None, None]
    return Seen(pictures, clean, cover, camera, light)


def _taken(values: Tensor, camera: SquareCamera, full: int, side: int) -> Tensor:
    """Return values of pictures in their squares, bilinear; 0 beyond the picture."""
    steps = (torch.arange(side, device=values.device) + 0.5) / side - 0.5
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
    places = camera.center[:, None, None] + camera.side[:, None, None, None] * grid
    found = F.grid_sample(values.permute(0, 3, 1, 2), places * (2 / full) - 1, align_corners=False)
    return found.permute(0, 2, 3, 1)


def _enlarged(values: Float[Tensor, "n 3 h w"], side: int) -> Float[Tensor, "n side side 3"]:
    return F.interpolate(values, (side, side), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)


def _behind(drawn: Chances, side: int) -> Float[Tensor, "n side side 3"]:
    ground = (_enlarged(drawn.background, side) + _enlarged(drawn.grain, side)).clamp(0.0, 1.0)
    return _covered(ground, drawn.blobs)


def _covered(pictures: Float[Tensor, "n side side 3"], blobs: Float[Tensor, "n m 8"]) -> Float[Tensor, "n side side 3"]:
    """Return pictures with soft ellipses before them, one after the other."""
    side = pictures.shape[1]
    steps = (torch.arange(side, device=pictures.device) + 0.5) / side
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
    for each in blobs.unbind(dim=1):
        middle, radii, color, strength = (part[:, None, None] for part in each.split([2, 2, 3, 1], dim=-1))
        away = ((grid - middle) / radii).square().sum(dim=-1, keepdim=True)
        pictures = torch.lerp(pictures, color.expand_as(pictures), strength * (8 * (1 - away)).sigmoid())
    return pictures
