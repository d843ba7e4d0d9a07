"""Teeth that the pictures of the canonical moment show: how bright they are, and that no skin is to be painted white.

The inside of the mouth has surfels of its own (`sage_ns.avatar.mouth`), which pictures do not train. Without these two
steps a smile in the only picture is painted on the lips, where it stays as they move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.mouth import Mouth
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.capture.shot import Shot
from sage_ns.geometry.spherical_harmonics import scaled_harmonics
from sage_ns.raster import PinholeCamera
from sage_ns.training.open_mouth import OpenMouth

TEETH = ("upper_teeth", "lower_teeth")
_SUPERSAMPLING = 2
_LEAST_PIXELS = 12
"""Pixels that show teeth, in all pictures together, from which on they tell a colour."""
_BRIGHT = 0.6
"""Brightness relative to the brightest pixels of the drawn mouth, from which on it shows teeth."""
_PALE = 0.6
"""Least ratio of the weakest to the strongest channel of teeth; lips, gums and tongue are redder."""
_GAINS = (0.6, 1.7)
"""Range of the factor on the colours of the prior's teeth."""


@torch.no_grad()
def light_teeth(avatar: Avatar, views: Sequence[Shot]) -> Float[Tensor, "3"] | None:
    """Give the teeth the colour of those that the pictures show; they are changed in place.

    Args:
        avatar: at the canonical moment.
        views: pictures of that moment.

    Returns:
        The factor on their colours; None if the pictures show no teeth.
    """
    mouth, motion = avatar.mouth, avatar.motion.canonical()
    if mouth is None:
        return None
    vertices = avatar.poses.at(motion).vertices
    look = OpenMouth(mouth, avatar.rig, motion)
    drawn, shown = [], []
    for view in (each.to(avatar.device) for each in views):
        found = look(motion, vertices, view.camera, _SUPERSAMPLING, avatar.background)
        pixel = found.pixel[found.valid]
        truth, counts = view.picture.reshape(-1, 3)[pixel], view.foreground.reshape(-1)[pixel] > 0.5
        if view.steady is not None:
            counts &= view.steady.reshape(-1)[pixel] > 0.5
        drawn.append(found.color[found.valid][counts])
        shown.append(truth[counts])
    if sum(map(len, drawn)) < _LEAST_PIXELS:
        return None
    ours, theirs = torch.cat(drawn), torch.cat(shown)
    bright = ours.mean(dim=1)
    pale = theirs.amin(dim=1) > _PALE * theirs.amax(dim=1)
    teeth = (bright > _BRIGHT * bright.quantile(0.95)) & pale
    if int(teeth.sum()) < _LEAST_PIXELS:
        return None
    gain = (theirs[teeth].median(dim=0).values / ours[teeth].median(dim=0).values.clamp_min(1e-3)).clamp(*_GAINS)
    model = mouth.rig.head_model
    masks = [model.regions.triangle_mask(name, model.triangles) for name in TEETH]
    is_teeth = torch.stack(masks).any(dim=0)[mouth.surfels.triangle]
    factor = torch.where(is_teeth[:, None], gain, 1.0)
    sh = torch.cat([mouth.surfels.sh_dc, mouth.surfels.sh_rest], dim=1)
    scaled = scaled_harmonics(sh, factor)
    mouth.surfels.sh_dc.copy_(scaled[:, :1])
    mouth.surfels.sh_rest.copy_(scaled[:, 1:])
    return gain


class MouthPixels:
    """Pixels of canonical pictures that look into the mouth: they say nothing about skin and lips.

    Args:
        mouth: of the avatar.
        rig: of the person.
        motion: the canonical moment.
    """

    @torch.no_grad()
    def __init__(self, mouth: Mouth, rig: PersonalRig, motion: Float[Tensor, "num_coefficients"]) -> None:
        self._look = OpenMouth(mouth, rig, motion)
        self._motion, self._vertices = motion, rig.vertices(motion)
        self._outside: dict[int, Float[Tensor, "h w 1"]] = {}

    def left_out(self, shot: Shot) -> Shot:
        """Return a picture in which these pixels do not count; pseudo views and other moments stay as they are."""
        if shot.is_pseudo or not shot.is_canonical or shot.skull is not None:
            return shot
        if shot.index is None:
            outside = self._outside_of(shot.camera)
        elif shot.index in self._outside:
            outside = self._outside[shot.index]
        else:
            outside = self._outside[shot.index] = self._outside_of(shot.camera)
        given = (shot.steady, shot.confidence)
        steady, confidence = (outside if each is None else torch.minimum(each, outside) for each in given)
        return replace(shot, steady=steady, confidence=confidence)

    @torch.no_grad()
    def _outside_of(self, camera: PinholeCamera) -> Float[Tensor, "h w 1"]:
        """Return 0 at the pixels that look into the mouth, else 1. Nothing of the device is read."""
        found = self._look(self._motion, self._vertices, camera, 1, self._vertices.new_ones(3))
        outside = self._vertices.new_ones(camera.height * camera.width)
        outside[found.pixel] = 1 - found.valid.to(outside)
        return outside.reshape(camera.height, camera.width, 1)
