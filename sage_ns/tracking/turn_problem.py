"""The colours of a head that turns before one camera, and the steps that make them agree in all pictures.

A point k of the skin has one colour, and the lamps stand still. Logarithms of what the pictures I_t show are therefore

    I_t(u_tk) = a_k + Y(R_t n_k) L + noise,

with the point's pixel u_tk, its colour a_k, the harmonics Y of degree 1 and 2 of its turned normal, and the light L.
`TurnProblem` measures how far this is from true, over all points and pictures that see them, and steps towards it with
all poses at once, the identity's first coefficients and the focal length. Colours are eliminated from every step
(variable projection: Golub and Pereyra 1973; photometric bundle adjustment: Alismail et al. 2016).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.light import NUM_LIGHT
from sage_ns.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from sage_ns.geometry.spherical_harmonics import sh_basis
from sage_ns.tracking.least_squares import LEAST_DIAGONAL, cauchy_weights
from sage_ns.tracking.log_pictures import LogPictures
from sage_ns.tracking.skin_samples import SkinSamples

_ROUNDS = 3
"""Of reweighted least squares, for colours and light."""
_LIGHT_RIDGE = 1e-3
"""Pull of the light to none, relative to the number of observations."""
_FEWEST_FOR_LIGHT = 5
"""Pictures from which on light and colours can be told apart."""
_UNSEEN = 1e-6
"""Weight of a point's colour below which it says nothing."""


@dataclass(frozen=True, eq=False)
class Turns:
    """A head at all moments, in the axes of the camera (x right, y up, z back)."""

    rotation: Float[Tensor, "t 3 3"]
    """Of the skull."""
    place: Float[Tensor, "t 3"]
    """Where the skull's motion takes the origin of the head at rest, metres."""
    identity: Float[Tensor, "k"]
    """What is added to the first identity coefficients."""
    log_focal: Float[Tensor, ""]
    """Of the factor on the focal length."""


@dataclass(frozen=True)
class TurnNoise:
    """What is expected of colours and heads; standard deviations."""

    color: float = 0.06
    """Of the logarithm of a colour; larger differences count for less (Cauchy's loss): shine, shadows, lids."""
    observations: float = 4000.0
    """Number of independent observations in a clip: neighbouring points and pictures err together."""
    identity: float = 0.3
    """Of a coefficient, around that of the fit to landmarks."""
    focal: float = 0.35
    """Of the logarithm of the focal length's factor; 0 = the focal length is known."""
    rotation: float = 0.14
    """Radians by which landmarks turn a head wrongly."""
    place: float = 0.02
    """Metres by which they misplace it."""


@dataclass(frozen=True, eq=False)
class Look:
    """Colours of the points, and the light on them; logarithms."""

    color: Float[Tensor, "n 3"]
    light: Float[Tensor, "8 3"]


@dataclass(frozen=True, eq=False)
class Sight:
    """What the pictures show of the points."""

    points: Float[Tensor, "t n 3"]
    """In the axes of the camera, metres."""
    pixels: Float[Tensor, "t n 2"]
    values: Float[Tensor, "t n 3"]
    gradients: Float[Tensor, "t n 3 2"]
    weights: Float[Tensor, "t n"]
    """0 where a point is not seen."""
    harmonics: Float[Tensor, "t n 8"]

    def unexplained(self, look: Look) -> Float[Tensor, "t n 3"]:
        """Return what colours and light do not explain."""
        return self.values - look.color - self.harmonics @ look.light

    @property
    def middle(self) -> Float[Tensor, "t 3"]:
        """Means of the points, about which heads turn in a step."""
        return self.points.mean(dim=1)


@dataclass(frozen=True, eq=False)
class TurnProblem:
    """The sum of squares of one clip at one resolution.

    ``E = N / (3 sum w) sum w_tk log(1 + |r_tk|^2 / s^2)`` over the channels, with N independent observations of noise
    s, plus squares of identity, focal length, and of what heads are turned and moved against the fit to landmarks.
    """

    samples: SkinSamples
    pictures: LogPictures
    focal: float
    """First guess, pixels of the whole picture."""
    center: Float[Tensor, "2"]
    """Principal point, pixels."""
    start: Turns
    """From landmarks."""
    noise: TurnNoise

    def sight(self, turns: Turns, weights: Float[Tensor, "t n"] | None = None) -> Sight:
        """Return what the pictures show of the points of these heads.

        Args:
            turns: heads.
            weights: how well points are seen; None = as these heads stand.
        """
        points = self.samples.moved(turns.identity) @ turns.rotation.mT + turns.place[:, None]
        depth = (-points[..., 2:]).clamp_min(1e-3)
        pixels = self.center + self._focal(turns) * points[..., :2] * points.new_tensor([1.0, -1.0]) / depth
        values, gradients, inside = self.pictures.at(pixels)
        if weights is None:
            eyes = -(turns.place[:, None] @ turns.rotation)[:, 0]
            weights = self.samples.seen_from(eyes) * inside
        normals = self.samples.normals @ turns.rotation.mT
        harmonics = sh_basis(normals.reshape(-1, 3), NUM_LIGHT)[:, 1:].reshape(*normals.shape[:2], -1)
        return Sight(points, pixels, values, gradients, weights, harmonics)

    def look(self, sight: Sight, before: Look | None = None) -> Look:
        """Return colours and light that explain the pictures best: robust least squares, in turn."""
        some = sight.weights[..., None].expand_as(sight.values)
        look = before or Look(sight.values[0] * 0, sight.values.new_zeros(NUM_LIGHT - 1, 3))
        robust = some if before is None else some * self._robust(sight, look)
        for _ in range(_ROUNDS):
            shade = sight.harmonics @ look.light
            color = (robust * (sight.values - shade)).sum(dim=0) / robust.sum(dim=0).clamp_min(_UNSEEN)
            look = Look(color, self._light(sight, color, robust, look.light))
            robust = some * self._robust(sight, look)
        return look

    def energy(self, sight: Sight, look: Look, turns: Turns) -> float:
        """Return E."""
        off = sight.unexplained(look) / self.noise.color
        pictures = (sight.weights[..., None] * torch.log1p(off.square())).sum() * self._share(sight)
        priors = (turns.identity / self.noise.identity).square().sum()
        if self.noise.focal > 0:
            priors = priors + (turns.log_focal / self.noise.focal).square()
        return float(pictures + priors + torch.log1p(self._off(sight, turns).square()).sum())

    def step(self, turns: Turns, sight: Sight, look: Look) -> Callable[[float], Turns]:
        """Return the heads after a step with a damping (Levenberg-Marquardt), colours eliminated."""
        own, shared = self._derivatives(turns, sight)
        robust = sight.weights[..., None] * self._robust(sight, look) * self._share(sight) / self.noise.color**2
        off = sight.unexplained(look)
        count, size, num_shared = len(own), own.shape[-1], shared.shape[-1]
        weighed_own, weighed_shared = own * robust[..., None], shared * robust[..., None]
        blocks = torch.einsum("tnci,tncj->tij", weighed_own, own)
        normal = own.new_zeros(count * size + num_shared, count * size + num_shared)
        normal[:-num_shared, :-num_shared] = torch.block_diag(*blocks)
        border = torch.einsum("tnci,tncj->tij", weighed_own, shared).reshape(-1, num_shared)
        normal[:-num_shared, -num_shared:], normal[-num_shared:, :-num_shared] = border, border.T
        normal[-num_shared:, -num_shared:] = torch.einsum("tnci,tncj->ij", weighed_shared, shared)
        slope = torch.cat(
            [
                torch.einsum("tnci,tnc->ti", weighed_own, off).flatten(),
                torch.einsum("tnci,tnc->i", weighed_shared, off),
            ]
        )
        scale = normal.diagonal().clone()
        # Colours follow: what all pictures of a point ask for alike moves no head.
        follows = torch.cat(
            [
                weighed_own.permute(0, 3, 1, 2).reshape(count * size, -1),
                weighed_shared.sum(dim=0).permute(2, 0, 1).reshape(num_shared, -1),
            ]
        )
        share = follows / robust.sum(dim=0).flatten().clamp_min(_UNSEEN)
        normal -= share @ follows.T
        slope -= share @ (robust * off).sum(dim=0).flatten()
        self._add_priors(normal, slope, turns, sight)

        def stepped(damping: float) -> Turns:
            damped = normal + torch.diag(damping * scale.clamp_min(LEAST_DIAGONAL))
            found = torch.linalg.solve(damped, -slope)
            return self._moved(turns, sight, found[:-num_shared].reshape(count, size), found[-num_shared:])

        return stepped

    def _focal(self, turns: Turns) -> Tensor:
        return self.focal * turns.log_focal.exp()

    def _share(self, sight: Sight) -> float:
        """Return the weight of one observation: all together count for the independent ones."""
        return self.noise.observations / (3 * max(float(sight.weights.sum()), _UNSEEN))

    def _robust(self, sight: Sight, look: Look) -> Tensor:
        return cauchy_weights(sight.unexplained(look), self.noise.color)

    def _light(self, sight: Sight, color: Tensor, robust: Tensor, before: Tensor) -> Float[Tensor, "8 3"]:
        if len(sight.values) < _FEWEST_FOR_LIGHT:
            return before
        basis, goal, columns = sight.harmonics.flatten(0, 1), (sight.values - color).flatten(0, 1), []
        for channel in range(3):
            w = robust[..., channel].flatten()
            ridge = _LIGHT_RIDGE * w.sum() * torch.eye(basis.shape[1]).to(basis)
            columns.append(torch.linalg.solve((basis.T * w) @ basis + ridge, (basis.T * w) @ goal[:, channel]))
        return torch.stack(columns, dim=1)

    def _derivatives(self, turns: Turns, sight: Sight) -> tuple[Float[Tensor, "t n 3 6"], Float[Tensor, "t n 3 s"]]:
        """Return how turn and place of a head, and what all share, change the values."""
        points, depth = sight.points, -sight.points[..., 2]
        zero, slant = torch.zeros_like(depth), points[..., :2] / depth[..., None]
        across = torch.stack([1 / depth, zero, slant[..., 0] / depth], dim=-1)
        up = torch.stack([zero, -1 / depth, -slant[..., 1] / depth], dim=-1)
        per_metre = sight.gradients @ (self._focal(turns) * torch.stack([across, up], dim=-2))
        arms = (points - sight.middle[:, None])[:, :, None].expand_as(per_metre)
        own = torch.cat([torch.linalg.cross(arms, per_metre), per_metre], dim=-1)
        shared = torch.einsum("tncx,txy,nyk->tnck", per_metre, turns.rotation, self.samples.identity)
        if self.noise.focal > 0:
            zoom = sight.gradients @ (sight.pixels - self.center)[..., None]
            shared = torch.cat([shared, zoom], dim=-1)
        return own, shared

    def _off(self, sight: Sight, turns: Turns) -> Float[Tensor, "t 6"]:
        """Return what heads are turned and moved against the start, in standard deviations."""
        turned = matrix_to_axis_angle(turns.rotation @ self.start.rotation.mT) / self.noise.rotation
        at_start = self.samples.points.mean(dim=0) @ self.start.rotation.mT + self.start.place
        return torch.cat([turned, (sight.middle - at_start) / self.noise.place], dim=-1)

    def _add_priors(self, normal: Tensor, slope: Tensor, turns: Turns, sight: Sight) -> None:
        """Add the priors' parts to the normal equations, in place."""
        off = self._off(sight, turns)
        spread = off.new_tensor([self.noise.rotation] * 3 + [self.noise.place] * 3)
        weight = cauchy_weights(off, 1.0)
        own, count = off.numel(), len(turns.identity)
        diagonal = normal.diagonal()
        diagonal[:own] += (weight / spread**2).flatten()
        slope[:own] += (weight * off / spread).flatten()
        diagonal[own : own + count] += 1 / self.noise.identity**2
        slope[own : own + count] += turns.identity / self.noise.identity**2
        if self.noise.focal > 0:
            diagonal[-1] += 1 / self.noise.focal**2
            slope[-1] += turns.log_focal / self.noise.focal**2

    def _moved(
        self, turns: Turns, sight: Sight, own: Float[Tensor, "t 6"], shared: Float[Tensor, "num_shared"]
    ) -> Turns:
        turned, middle = axis_angle_to_matrix(own[:, :3]), sight.middle
        place = (turned @ (turns.place - middle)[..., None])[..., 0] + middle + own[:, 3:]
        count = len(turns.identity)
        zoom = shared[count] if self.noise.focal > 0 else torch.zeros_like(turns.log_focal)
        return Turns(turned @ turns.rotation, place, turns.identity + shared[:count], turns.log_focal + zoom)
