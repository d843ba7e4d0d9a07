"""Fit one head model to the landmarks of many pictures at once: moments times cameras.

``fit_moments`` is the whole of it: one identity and one focal length (or the known ones) for all pictures; pose, jaw,
eyes and expression for each moment. One camera at rest before which a head turns, several cameras at one moment, and
both together are the same problem; one picture is the smallest one (`sage_ns.tracking.landmark_fit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.errors import OptionError
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.face import NUM_POINTS, Face, width_of_face
from sage_ns.tracking.joint_problem import JointProblem, Layout
from sage_ns.tracking.landmark_rig import LandmarkRig, View
from sage_ns.tracking.least_squares import minimise
from sage_ns.tracking.placement import placed, turn
from sage_ns.tracking.smoothness import Smoothness

_AGREEMENT = 1.0
"""Share of the pictures of one person whose landmarks are off in the same way: where the detector and the embedding see
a place differently, all pictures do. The prior of the shape counts as often as these pictures do."""
_ENOUGH, _ENOUGH_BEFORE = 1e-6, 1e-4
"""Relative gains of the sum of squares at which the last search ends, and those before it."""
ERROR_OF_A_LANDMARK = 0.04
"""Standard deviation of a landmark, relative to the width of the face. The detector's own is a third of it; errors of
neighbouring landmarks agree, so that they count for less than their number."""


@dataclass(frozen=True, eq=False)
class KnownCamera:
    """A pinhole camera whose pose is known."""

    camera_to_world: Float[Tensor, "4 4"]
    """Metres; OpenGL axes as nerfstudio's (x right, y up, z back)."""
    fx: float
    """Pixels, as ``fy``; their first guesses where a fit searches for the focal length."""
    fy: float
    cx: float
    """Pixels from the left, as ``cy`` from the top; the centre of the first pixel is at 0.5."""
    cy: float

    @classmethod
    def at_rest(cls, focal: float, size: tuple[int, int]) -> KnownCamera:
        """Return the one camera of a clip or a photo: it is the world, and its principal point is the middle.

        Args:
            focal: focal length, pixels.
            size: width and height of the pictures.
        """
        return cls(torch.eye(4), focal, focal, size[0] / 2, size[1] / 2)

    def view(self) -> View:
        """Return the camera as landmarks need it."""
        pose = self.camera_to_world.double()
        focal, center = torch.tensor([[self.fx, self.fy], [self.cx, self.cy]], dtype=torch.float64)
        return View(pose[:3, :3].T.contiguous(), pose[:3, 3], focal, center)


@dataclass(frozen=True, eq=False)
class Sighting:
    """The face in one picture."""

    moment: int
    """From 0, in the order of time; every moment up to the last one needs a sighting."""
    camera: int
    """Row of the camera in the list that is given to the fit."""
    face: Face


@dataclass(frozen=True, eq=False)
class JointFit:
    """A head at several moments, and how well it explains each sighting (in the order in which they were given)."""

    params: FlameParams
    """One row per moment of the whole head model, in the world of the cameras (y up, metres), float32."""
    focal_factor: float
    """What to multiply the focal lengths of all cameras with; 1 where they were known."""
    points: Float[Tensor, "n 478 2"]
    """Landmarks of the fitted head in each picture, pixels."""
    errors: Float[Tensor, "n 478"]
    """Distances from the detector's landmarks, pixels."""
    face_widths: Float[Tensor, "n"]
    """Pixels, see `width_of_face`."""
    turns: Float[Tensor, "n"]
    """Degrees between the front of the face and the direction to the camera."""

    @property
    def rms(self) -> Float[Tensor, "n"]:
        """Root of the mean squared distance of each sighting, pixels."""
        return self.errors.square().mean(dim=1).sqrt()

    @property
    def disagreement(self) -> Float[Tensor, "n"]:
        """Root of the mean squared distance of each sighting, relative to the width of the face."""
        return self.rms / self.face_widths


def fit_moments(
    sightings: Sequence[Sighting],
    cameras: Sequence[KnownCamera],
    model: HeadModel,
    embedding: Embedding,
    focal_spread: float = 0.0,
    times: Float[Tensor, "t"] | None = None,
    error: float = ERROR_OF_A_LANDMARK,
    agreement: float | None = None,
    start: FlameParams | None = None,
) -> JointFit:
    """Fit one identity, and pose, jaw, eyes and expression of every moment, to the landmarks of many pictures.

    Levenberg-Marquardt in float64 on ``sum_nk w_nk |p_nk(x) - d_nk|^2 / s_n^2 + sum_i (x_i / s_i)^2``, and smoothness
    over time: d_nk are the detected landmarks of picture n, p_nk those of the rig, s_n is the error of a landmark, and
    s_i are the spreads of people. Weights w_nk are those of the embedding, lower where the skin turns away from the
    camera, and robust (Cauchy). The neck stays at rest. A step solves the arrow of moments and shared unknowns
    (`sage_ns.tracking.arrow_system`), so that time and memory grow with the number of pictures alone.

    First all heads are placed, then everything is free. With a start, heads begin where it says, and the prior pulls
    their identity to the start's, not to the mean person's. With times, smoothness comes last: what moves quickly in
    the fit without it, such as a lid or the jaw, is known by then and stays (`sage_ns.tracking.smoothness`).

    Args:
        sightings: faces, at least one per moment.
        cameras: poses and intrinsics; a camera may be seen by no sighting.
        model: head model.
        embedding: of that head model.
        focal_spread: standard deviation of the logarithm of one factor on the focal lengths of all cameras, as
            `FocalLength.spread`; 0 = the cameras' focal lengths are known.
        times: seconds of the moments, rising; None = the moments have nothing to do with each other.
        error: standard deviation of a landmark, relative to the width of the face.
        agreement: how often the prior of the shape counts; None = as often as there are pictures, whose landmarks are
            off in the same way.
        start: the heads to begin with, one row per moment, in the world of the cameras; None = mean heads are placed on
            the landmarks.

    Raises:
        OptionError: there is no sighting, or one without its camera, a moment without a sighting, or times that do not
            rise or are not as many as the moments.
    """
    count = _checked_moments(sightings, cameras, times)
    rig = LandmarkRig(model, embedding)
    layout, trust = Layout(rig.unknowns), embedding.weight.double()
    views = [cameras[each.camera].view() for each in sightings]
    units = torch.tensor([error * width_of_face(each.face) for each in sightings], dtype=torch.float64)
    problem = landmark_problem(rig, sightings, views, focal_spread, agreement)
    if start is None:
        flat = layout.flat(_placed(rig, sightings, views, trust, count))
    else:
        flat = layout.flat(torch.stack([rig.unknowns_of(start[moment]) for moment in range(count)]))
        problem = replace(problem, expected=start.shape[: rig.unknowns.num_shape].double())
    stages = _stages(problem, times)
    for step in stages:
        stage = step.faced(flat, trust, units)
        gain = _ENOUGH if step is stages[-1] else _ENOUGH_BEFORE
        found = minimise(stage.residuals, flat, weights=stage.weights, linearise=stage.linearise, least_gain=gain)
        flat = found.unknowns
    return joint_result(problem, flat, model, sightings, views)


def keep_moments(
    sightings: Sequence[Sighting],
    cameras: Sequence[KnownCamera],
    model: HeadModel,
    embedding: Embedding,
    heads: FlameParams,
) -> JointFit:
    """Return heads as they are, and how well they explain the landmarks of each picture.

    Args:
        sightings: faces, at least one per moment.
        cameras: poses and intrinsics.
        model: head model.
        embedding: of that head model.
        heads: one row per moment, in the world of the cameras, with the neck at rest.

    Raises:
        OptionError: as for `fit_moments`.
    """
    count = _checked_moments(sightings, cameras, None)
    rig = LandmarkRig(model, embedding)
    views = [cameras[each.camera].view() for each in sightings]
    problem = landmark_problem(rig, sightings, views, 0.0)
    flat = problem.layout.flat(torch.stack([rig.unknowns_of(heads[moment]) for moment in range(count)]))
    return replace(joint_result(problem, flat, model, sightings, views), params=heads.check_fits(model.to("cpu")))


def landmark_problem(
    rig: LandmarkRig,
    sightings: Sequence[Sighting],
    views: Sequence[View],
    focal_spread: float,
    agreement: float | None = None,
) -> JointProblem:
    """Return the problem of heads in pictures, before its landmarks are weighed (`JointProblem.faced`).

    Args:
        rig: landmarks of the head model.
        sightings: faces.
        views: camera of each of them.
        focal_spread: as in `fit_moments`.
        agreement: as in `fit_moments`.
    """
    return JointProblem(
        rig=rig,
        moments=torch.tensor([each.moment for each in sightings]),
        views=View(*(torch.stack(parts) for parts in zip(*views, strict=True))),
        detected=torch.stack([each.face.points[:, :2].double() for each in sightings]),
        root=torch.zeros(len(sightings), NUM_POINTS, dtype=torch.float64),
        free=torch.ones(len(rig.unknowns), dtype=torch.bool),
        focal_spread=focal_spread,
        agreement=max(1.0, _AGREEMENT * len(sightings)) if agreement is None else agreement,
        smoothness=None,
    )


def _stages(problem: JointProblem, times: Tensor | None) -> list[JointProblem]:
    """Return what is searched for in turn: poses alone, everything, and everything tied over time."""
    part, layout = problem.rig.unknowns, problem.layout
    everything = problem.free.clone()
    everything[part.focal] = problem.focal_spread > 0
    poses = torch.zeros_like(everything)
    poses[part.rotation] = poses[part.translation] = True
    stages = [replace(problem, free=poses), replace(problem, free=everything)]
    if times is not None and len(times) > 1:
        tied = Smoothness.over(times, layout.own_pose, layout.own_jaw, layout.own_expression, len(layout.own))
        stages.append(replace(problem, free=everything, smoothness=tied))
    return stages


def _placed(
    rig: LandmarkRig, sightings: Sequence[Sighting], views: Sequence[View], trust: Tensor, count: int
) -> Float[Tensor, "t num_unknowns"]:
    """Return the first unknowns of each moment, from the camera that sees the most of its front."""
    vectors, least = torch.zeros(count, len(rig.unknowns), dtype=torch.float64), [float("inf")] * count
    for each, view in zip(sightings, views, strict=True):
        x = placed(rig, each.face, trust, view)
        turned = turn(rig, x, view)
        if turned < least[each.moment]:
            vectors[each.moment], least[each.moment] = x, turned
    return vectors


def joint_result(
    problem: JointProblem,
    flat: Float[Tensor, "n"],
    model: HeadModel,
    sightings: Sequence[Sighting],
    views: Sequence[View],
) -> JointFit:
    """Return unknowns of a problem as heads, and how well they explain its landmarks.

    Args:
        problem: what was solved.
        flat: its unknowns.
        model: whole head model.
        sightings: faces of the problem.
        views: camera of each of them.
    """
    rig, vectors = problem.rig, problem.layout.vectors(flat)
    seen = [vectors[each.moment] for each in sightings]
    points = torch.stack([rig.pixels(x, view) for x, view in zip(seen, views, strict=True)])
    return JointFit(
        params=rig.whole(vectors, model),
        focal_factor=float(vectors[0, rig.unknowns.focal].exp()),
        points=points.float(),
        errors=(points - problem.detected).norm(dim=-1).float(),
        face_widths=torch.tensor([width_of_face(each.face) for each in sightings]),
        turns=torch.tensor([turn(rig, x, view) for x, view in zip(seen, views, strict=True)]),
    )


def _checked_moments(
    sightings: Sequence[Sighting], cameras: Sequence[KnownCamera], times: Float[Tensor, "t"] | None
) -> int:
    """Return the number of moments.

    Raises:
        OptionError: see `fit_moments`.
    """
    if not sightings:
        raise OptionError("expected at least one sighting of a face", sightings=0)
    moments = {each.moment for each in sightings}
    count = max(moments) + 1
    missing = sorted(set(range(count)) - moments)
    if missing or min(moments) < 0:
        raise OptionError(f"expected a sighting of every moment from 0 to {count - 1}", moments=sorted(moments))
    for each in sightings:
        if not 0 <= each.camera < len(cameras):
            raise OptionError(f"expected the row of one of {len(cameras)} cameras", camera=each.camera)
    if times is not None and len(times) != count:
        raise OptionError(f"expected one time for each of {count} moments", times=len(times))
    return count
