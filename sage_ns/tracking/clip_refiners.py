"""What follows the fit of a clip to landmarks, by name: nothing, or turns that the skin's colours agree with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from jaxtyping import Float, UInt8

from sage_ns.errors import TrackingError
from sage_ns.geometry.rotations import degrees_between
from sage_ns.raster.cameras import project
from sage_ns.rig import HeadModel, pose_vertices
from sage_ns.rig.skull import skull_motions, with_skull_at
from sage_ns.system.progress import progress_bar
from sage_ns.system.registry import Registry
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.focal import FocalLength
from sage_ns.tracking.joint_fit import JointFit, KnownCamera, Sighting
from sage_ns.tracking.landmark_rig import LandmarkRig
from sage_ns.tracking.log_pictures import LogPictures
from sage_ns.tracking.personal_landmarks import fit_faces
from sage_ns.tracking.refiners import LANDMARKS, PHOTOMETRIC
from sage_ns.tracking.skin_samples import skin_samples
from sage_ns.tracking.turn_fit import TurnFit, TurnSettings, fit_turns
from sage_ns.tracking.turn_problem import Turns
from sage_ns.tracking.window import Window, head_window

LEAST_GAIN = 0.1
"""Share of the sum of squares that refined turns have to remove."""
FARTHEST = 25.0
"""Degrees by which landmarks turn no face wrongly: a head that is moved farther has lost its face."""


@dataclass(frozen=True, eq=False)
class TurningHead:
    """A clip as it was fitted to landmarks."""

    fit: JointFit
    sightings: Sequence[Sighting]
    """One per moment, in the order of time."""
    pictures: Callable[[], Iterable[UInt8[np.ndarray, "height width 3"]]]
    """Returns the whole picture of each moment."""
    size: tuple[int, int]
    """Width and height of the pictures."""
    times: Float[torch.Tensor, "t"]
    """Seconds."""
    focal: FocalLength
    """As known before the fit."""
    model: HeadModel
    embedding: Embedding


@dataclass(frozen=True, eq=False)
class TurnRefinement:
    """Heads after their refinement."""

    fit: JointFit
    report: Mapping[str, Any] = field(default_factory=dict)
    """What was done, for the report of the capture."""
    note: str = ""
    """What the user should know."""


class ClipRefiner(Protocol):
    """A way to refine the heads of a clip."""

    name: ClassVar[str]

    def refine(self, seen: TurningHead) -> TurnRefinement:
        """Return the heads, never ones that explain the pictures less well."""
        ...


clip_refiners: Registry[ClipRefiner] = Registry("refinement of clips", TrackingError)


@clip_refiners.register
class TurnsAsFitted:
    """The fit to landmarks stays as it is."""

    name: ClassVar[str] = LANDMARKS

    def refine(self, seen: TurningHead) -> TurnRefinement:
        """Return the heads that were fitted."""
        return TurnRefinement(seen.fit)


@clip_refiners.register
class TurnsByColours:
    """All pictures are compared with each other (`sage_ns.tracking.turn_fit`); landmarks then tell the expression."""

    name: ClassVar[str] = PHOTOMETRIC

    def refine(self, seen: TurningHead) -> TurnRefinement:
        """Return the refined heads if the colours speak clearly for them, else those that were fitted."""
        settings = TurnSettings()
        try:
            samples = skin_samples(seen.model, seen.fit.params, settings.points, settings.identity)
        except TrackingError as error:
            return TurnRefinement(seen.fit, note=f"The head was fitted to landmarks alone: {error}")
        focal = seen.focal.pixels * seen.fit.focal_factor
        width = float(seen.fit.face_widths.median())
        pictures = LogPictures.of(seen.pictures(), _window(seen, focal), width, settings.widths[-1])
        noise = replace(settings.noise, focal=seen.focal.spread)
        with progress_bar("comparing the pictures with each other") as bar:
            found = fit_turns(
                samples,
                pictures,
                width * float(pictures.scale[0]),
                focal,
                torch.tensor(seen.size, dtype=torch.float64) / 2,
                _turns(seen, samples.identity.shape[-1]),
                replace(settings, noise=noise),
                bar,
            )
        return _judged(seen, found)


def doubt(before: float, after: float, moved: Float[torch.Tensor, "t"]) -> str | None:
    """Return why refined turns are not to be trusted; None if they are.

    Args:
        before: sum of squares with the heads from landmarks.
        after: with the refined ones.
        moved: degrees that each head was turned.
    """
    if after > (1 - LEAST_GAIN) * before:
        return "the colours of the pictures hardly speak for other turns"
    if float(moved.max()) > FARTHEST:
        return f"the colours turn a head by {float(moved.max()):.0f} degrees, which landmarks are never off by"
    return None


def _judged(seen: TurningHead, found: TurnFit) -> TurnRefinement:
    start = _turns(seen, len(found.turns.identity))
    moved = degrees_between(found.turns.rotation, start.rotation)
    reason = doubt(found.before, found.after, moved)
    report = {
        "by": PHOTOMETRIC,
        "kept": reason is None,
        "cost_before": round(found.before, 3),
        "cost_after": round(found.after, 3),
        "turned_degrees": {"mean": round(float(moved.mean()), 2), "most": round(float(moved.max()), 2)},
        "focal_length_factor": round(float(found.turns.log_focal.exp()), 4),
    }
    if reason is not None:
        return TurnRefinement(seen.fit, report, f"Heads are turned as their landmarks are: {reason}.")
    heads, focal_factor = _heads(seen, found.turns)
    camera = KnownCamera.at_rest(seen.focal.pixels * focal_factor, seen.size)
    fit = fit_faces(heads, seen.sightings, camera, seen.model, seen.embedding, seen.times)
    return TurnRefinement(replace(fit, focal_factor=focal_factor), report)


def _turns(seen: TurningHead, num_identity: int) -> Turns:
    motions = skull_motions(seen.model, seen.fit.params).double()
    none = torch.zeros(num_identity, dtype=torch.float64)
    return Turns(motions[:, :3, :3], motions[:, :3, 3], none, none.new_zeros(()))


def _heads(seen: TurningHead, turns: Turns) -> tuple[Float[torch.Tensor, "t num_unknowns"], float]:
    """Return the refined heads as unknowns of the rig, for a camera of the refined focal length, and its factor."""
    rig, shape = LandmarkRig(seen.model, seen.embedding), seen.fit.params.shape.clone()
    shape[: len(turns.identity)] += turns.identity.float()
    motions = torch.eye(4).repeat(len(turns.rotation), 1, 1)
    motions[:, :3] = torch.cat([turns.rotation, turns.place[..., None]], dim=-1).float()
    params = with_skull_at(seen.model, replace(seen.fit.params, shape=shape), motions)
    heads = torch.stack([rig.unknowns_of(params[row]) for row in range(len(motions))])
    return heads, seen.fit.focal_factor * float(turns.log_focal.exp())


def _window(seen: TurningHead, focal: float) -> Window:
    """Return the part of the pictures that shows the head, at full size."""
    vertices = pose_vertices(seen.model, seen.fit.params).flatten(0, 1)
    whole = Window(0, 0, *seen.size, 1).camera(focal, seen.size)
    return head_window(project(vertices, whole).pixels.double().numpy(), seen.size, max(seen.size))
