"""The inside of the mouth as surfels, on a rig of its own, in the colours of a prior learned in advance.

The pictures of one moment show no teeth. Apart from the light, the inside of the mouth is similar for all people. It is
learned once from synthetic people (`sage_ns.priors.mouth`) and placed behind the lips of every avatar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sage_ns.avatar.kept import KeptByMotion
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.state_checks import check_light, surfel_tensors
from sage_ns.avatar.surfels import BoundSurfels, take_sizes
from sage_ns.errors import SageError
from sage_ns.geometry.spherical_harmonics import C0
from sage_ns.geometry.triangles import TriangleFrames, triangle_frames, triangle_normals
from sage_ns.raster import Surfels
from sage_ns.raster.gaussians import as_gaussians
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.rig.mouth import find_mouth, lip_gap, mouth_model
from sage_ns.rig.mouth_shape import front_edges, mouth_shape
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz
from sage_ns.system.devices import sent

SHIPPED_PRIOR = Path(__file__).with_name("mouth_prior.npz")
SURROUNDINGS = 0.045
"""Metres around the mouth; skin and lips within them measure the light on the teeth."""
_TINT_LIMITS = (0.5, 1.6)
_BACKFACING_COSINE = -0.05
"""Cosine between outward normal and direction to the camera below which the camera sees a triangle from inside."""
_LINING = (0.42, 0.24, 0.21)
"""Factors on the colour of skin that is seen from inside, across the mouth: the red inner side of a cheek or lip, in
the shade [reading]."""
_FACING_FRONT = 0.3
"""z of the unit normal above which a triangle faces the front."""
_LIGHT_SHARE = 0.5
"""Exponent on the ratio of two people's skin colours: the share that is due to light. The rest is complexion, which
does not affect teeth and tongue."""


class MouthPriorError(SageError):
    """A mouth prior is missing, broken, or made for another mouth mesh."""


@dataclass(frozen=True, eq=False)
class MouthPrior:
    """Surfels on the triangles of `sage_ns.rig.mouth_shape`, as in :class:`BoundSurfels`, and their light."""

    triangle: Int[Tensor, "num_surfels"]
    means: Float[Tensor, "num_surfels 3"]
    quaternions: Float[Tensor, "num_surfels 4"]
    log_scales: Float[Tensor, "num_surfels 2"]
    opacity_logits: Float[Tensor, "num_surfels"]
    sh_dc: Float[Tensor, "num_surfels 1 3"]
    sh_rest: Float[Tensor, "num_surfels num_rest 3"]
    openings: Float[Tensor, "num_openings"]
    """Openings of the mouth, ascending, as measured by `lip_gap`."""
    shade: Float[Tensor, "num_parts num_openings"]
    """Factor on the colours of each part (`PARTS`) at these openings: light enters between the lips."""
    skin: Float[Tensor, "3"]
    """Mean colour of skin and lips around the mouths in the training data of the prior."""

    def save(self, path: Path) -> None:
        """Write the prior as npz, in half precision except for the triangles."""
        arrays = {f.name: getattr(self, f.name).detach().cpu().numpy() for f in fields(self)}
        stored = {name: a.astype(np.int32 if name == "triangle" else np.float16) for name, a in arrays.items()}
        write_npz(path, {**stored, "mesh": np.array(_mesh_size(), dtype=np.int64)}, compress=True)


def load_mouth_prior(path: Path | None = None) -> MouthPrior:
    """Load a mouth prior; the shipped one by default.

    Raises:
        MouthPriorError: The file is missing, broken, or for another mouth mesh; the message names file and field.
    """
    path = path or SHIPPED_PRIOR
    read = ArrayFields(str(path), read_npz(path, MouthPriorError), MouthPriorError, "Make one with sage-mouth-prior.")
    mesh = read.indices("mesh", "2").tolist()
    if tuple(mesh) != _mesh_size():
        raise read.fail("mesh", f"{mesh[0]} vertices and {mesh[1]} triangles", "{} and {}".format(*_mesh_size()))
    skin = read.floats("skin", "3")
    if bool(((skin <= 0) | (skin > 1)).any()):
        raise read.fail("skin", str(skin.tolist()), "a colour, each channel above 0 and up to 1")
    return MouthPrior(**surfel_tensors(read, "", _mesh_size()[1]), **check_light(read), skin=skin)


class Mouth(nn.Module):
    """The inside of one person's mouth: a rig that follows the head's motion, and surfels on it, which are not trained.

    Args:
        head_model: head model of the person (identity folded into the template).
        prior: surfels and light of an average mouth.
        skin: mean colour around the person's mouth, see :func:`skin_color`; None keeps the light of the prior.
        expression: of the person's face at rest, see :func:`sage_ns.rig.mouth.mouth_model`.

    Raises:
        HeadModelError: the head model has no mouth that a jaw opens.
    """

    around: Tensor
    openings: Tensor
    shade: Tensor

    def __init__(
        self,
        head_model: HeadModel,
        prior: MouthPrior,
        skin: Float[Tensor, "3"] | None = None,
        expression: Float[Tensor, "num_expression"] | None = None,
    ) -> None:
        super().__init__()
        model = mouth_model(head_model, expression)
        self.rig = PersonalRig(model, FlameParams.neutral(model))
        self.surfels = tinted(prior, _tint(prior, skin)).requires_grad_(False)
        self.register_buffer("around", around_mouth(head_model), persistent=False)
        self.register_buffer("openings", prior.openings.clone())
        self.register_buffer("shade", prior.shade.clone())
        # A moving camera draws the same moment repeatedly.
        self._last: KeptByMotion[tuple[Tensor, TriangleFrames, Tensor]] = KeptByMotion(1)

    def vertices(self, motion: Float[Tensor, "num_coefficients"]) -> Float[Tensor, "num_vertices 3"]:
        """Return the mesh under ``motion`` [metres, world]; the last vertices have no triangles, see `mouth_model`.

        Gradients reach ``motion`` if it requires them.
        """
        return self._posed(motion)[0]

    def place(self, motion: Float[Tensor, "num_coefficients"], camera_center: Float[Tensor, "3"]) -> Surfels:
        """Return the surfels in the world under ``motion``, coloured as seen from ``camera_center`` [metres].

        Gradients reach ``motion`` if it requires them.
        """
        _, frames, factor = self._posed(motion)
        return self.surfels.place(frames, camera_center, factor[:, None])

    def middle(self, motion: Float[Tensor, "num_coefficients"]) -> Float[Tensor, "3"]:
        """Return the point between the edges of the front teeth under ``motion`` [metres, world]."""
        vertices, (upper, lower) = self.vertices(motion), front_edges()
        return 0.5 * (vertices[upper] + vertices[lower])

    def _posed(self, motion: Float[Tensor, "num_coefficients"]) -> tuple[Tensor, TriangleFrames, Tensor]:
        """Return vertices, triangle frames and shade."""
        return self._last.get(motion, lambda: self._pose(motion))

    def _pose(self, motion: Float[Tensor, "num_coefficients"]) -> tuple[Tensor, TriangleFrames, Tensor]:
        model = self.rig.head_model
        vertices = self.rig.vertices(motion)
        factor = part_shade(model, vertices, self.openings, self.shade)
        return vertices, triangle_frames(vertices, model.triangles), factor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Mouth:
        self._last.clear()
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        self._last.clear()
        take_sizes(self, ("openings", "shade"), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


def tinted(prior: MouthPrior, tint: Float[Tensor, "3"] | float = 1.0) -> BoundSurfels:
    """Return the surfels of the prior with all colours multiplied by ``tint``."""
    scaled = (0.5 + C0 * prior.sh_dc) * tint
    return BoundSurfels(
        prior.triangle.clone(),
        *(getattr(prior, name).clone() for name in BoundSurfels.PARAMETERS[:4]),
        sh_dc=(scaled - 0.5) / C0,
        sh_rest=prior.sh_rest * tint,
    )


def part_shade(
    model: HeadModel,
    vertices: Float[Tensor, "num_vertices 3"],
    openings: Float[Tensor, "num_openings"],
    shade: Float[Tensor, "num_parts num_openings"],
) -> Float[Tensor, "num_triangles"]:
    """Return the factor on the colour of every triangle's surfels at an opening: linear between ``openings``.

    Args:
        model: model of the mouth.
        vertices: posed vertices of the mouth, which give the opening.
        openings: ascending, see :class:`MouthPrior`.
        shade: factor on each part at these openings.
    """
    opening = lip_gap(model, vertices).clamp(openings[0], openings[-1])
    # Not openings[after]: to index with a number on a device, the CPU would wait for it.
    after = torch.searchsorted(openings, opening).clamp(min(1, len(openings) - 1), len(openings) - 1).reshape(1)
    before = (after - 1).clamp_min(0)
    start, end = openings.index_select(0, before), openings.index_select(0, after)
    fraction = (opening - start) / (end - start).clamp_min(1e-9)
    by_part = torch.lerp(shade.index_select(1, before), shade.index_select(1, after), fraction)[:, 0]
    part = sent(torch.from_numpy(mouth_shape().part), vertices.device)
    return by_part[part[model.triangles[:, 0]]]


def skin_color(
    head_model: HeadModel, triangle: Int[Tensor, "n"], colors: Float[Tensor, "n 3"], weights: Float[Tensor, "n"]
) -> Float[Tensor, "3"]:
    """Return the mean colour around the mouth.

    Args:
        head_model: head model of the person (identity folded into the template).
        triangle: triangle of the head for each colour.
        colors: 0..1.
        weights: weight of each colour, for instance opacities.
    """
    facing = triangle_normals(head_model.v_template, head_model.triangles)[:, 2] > _FACING_FRONT
    chosen = weights * (around_mouth(head_model) & facing)[triangle]
    return (colors * chosen[:, None]).sum(dim=0) / chosen.sum().clamp_min(1e-9)


def around_mouth(head_model: HeadModel) -> Bool[Tensor, "num_triangles"]:
    """Return which triangles are lips, or skin within `SURROUNDINGS` of the mouth."""
    vertices, triangles = head_model.v_template, head_model.triangles
    center = find_mouth(head_model).center
    return (vertices[triangles].mean(dim=1) - center).norm(dim=-1) < SURROUNDINGS


def without_insides(
    placed: Surfels,
    triangle: Int[Tensor, "num_surfels"],
    around: Bool[Tensor, "num_triangles"],
    frames: TriangleFrames,
    camera_center: Float[Tensor, "3"],
    middle: Float[Tensor, "3"],
) -> Surfels:
    """Hide surfels around the mouth whose inner side faces the camera before the teeth, and darken those behind them.

    Surfels on the border of the lips extend over the teeth, and nobody sees the inner side of skin there. But from the
    side, an open mouth shows the inner side of the other cheek and lip: without it, the background shines through.

    Args:
        placed: surfels of the avatar in the world.
        triangle: triangle of the head that each surfel is bound to.
        around: triangles around the mouth, from `around_mouth`.
        frames: posed frames of the triangles of the head.
        camera_center: metres.
        middle: point between the front teeth, metres, see `Mouth.middle`.
    """
    towards = torch.nn.functional.normalize(camera_center - frames.origin, dim=-1)
    turned = around & ((frames.normal * towards).sum(dim=-1) < _BACKFACING_COSINE)
    behind = ((frames.origin - middle) * (middle - camera_center)).sum(dim=-1) > 0
    opacities = torch.where((turned & ~behind)[triangle], 0.0, placed.opacities)
    lining = sent(torch.tensor(_LINING), placed.colors.device)
    colors = torch.where((turned & behind)[triangle][:, None], placed.colors * lining, placed.colors)
    return replace(placed, opacities=opacities, colors=colors)


def joined(*parts: Surfels) -> Surfels:
    """Concatenate sets of surfels into one set, which is drawn together; discs beside 3D Gaussians become thin ones."""
    if not all(part.are_flat for part in parts):
        parts = tuple(as_gaussians(part) for part in parts)
    return Surfels(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Surfels)))


def _tint(prior: MouthPrior, skin: Float[Tensor, "3"] | None) -> Float[Tensor, "3"]:
    if skin is None:
        return torch.ones(3)
    ratio = (skin.cpu().float() / prior.skin).clamp_min(1e-3) ** _LIGHT_SHARE
    return ratio.clamp(*_TINT_LIMITS)


def _mesh_size() -> tuple[int, int]:
    shape = mouth_shape()
    return len(shape.vertices), len(shape.triangles)


def prior_of(surfels: BoundSurfels, light: Mapping[str, Tensor]) -> MouthPrior:
    """Build a prior from learned surfels and the fields ``openings``, ``shade`` and ``skin``."""
    learned = {name: getattr(surfels, name).detach() for name in ("triangle", *BoundSurfels.PARAMETERS)}
    return MouthPrior(**learned, **{name: light[name].detach() for name in ("openings", "shade", "skin")})
