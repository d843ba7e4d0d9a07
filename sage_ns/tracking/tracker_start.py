"""A fit that begins at the heads that another tracker has found (`sage_ns.capture.tracker_files`).

Shape, expression, jaw and eyes are taken as they are. Trackers look at crops, which their files do not state, and each
has a camera of its own; so the head is placed anew: it shows the camera of the picture the same side as it showed the
tracker's camera, and lies where the landmarks of the face are. Of the rotation, that is the part which a crop keeps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.tracker_files import TrackedHeads
from sage_ns.errors import TrackingError
from sage_ns.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, turn_between
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.rig.skull import without_neck
from sage_ns.tracking.face import Face, width_of_face
from sage_ns.tracking.joint_fit import KnownCamera
from sage_ns.tracking.landmark_rig import LandmarkRig, View
from sage_ns.tracking.placement import placed
from sage_ns.tracking.sight import Sight

MOST_OFF = 0.08
"""Root mean squared distance of the landmarks, relative to the width of the face, beyond which a head is not the one in
the picture: another frame's, or mirrored. A head that is turned by 45 degrees too far misses by about as much; the mean
head, turned as the picture shows it, by 0.02."""
_MOST_WRONG = 0.5
"""Share of the frames of a clip whose heads may be others than those in the pictures: trackers lose the face."""
_MOST_COUNT_OFF = 2
"""Frames by which two programs may count a clip differently."""
_ROUNDS, _ENOUGH = 30, 1e-7
"""Steps of the search for the place, and the last one's length in metres."""
_AHEAD = (0.0, 0.0, -1.0)


class TrackerBeginning:
    """Heads of a tracker, one row for each frame of the input.

    Args:
        heads: What the tracker has found.
        model: Head model that is fitted.
        count: Number of frames of the clip; 0 = unknown, None = a photo.
        kept: Whether the heads are not fitted, but kept. A head that is not the one in the picture stays where it is,
            far from the landmarks, so that its frame is left out.

    Raises:
        SageError: The heads are for another head model, or are not as many as the frames.
    """

    def __init__(self, heads: TrackedHeads, model: HeadModel, count: int | None, kept: bool = False) -> None:
        self._source, self._program, self._licence = heads.source, heads.program, heads.licence
        found = heads.params.num_timesteps
        if count is None and found != 1:
            raise TrackingError(
                f"{heads.source}: found {found} heads, expected 1 for a photo. Give the file of this photo alone."
            )
        if count and abs(found - count) > _MOST_COUNT_OFF:
            raise TrackingError(
                f"{heads.source}: found {found} heads, expected {count}, one for each frame of the clip. Run "
                f"{heads.program} on all frames of this file, without leaving out any."
            )
        params = heads.on(model.to("cpu"))
        self._params = without_neck(model.to("cpu"), params)
        self._kept = kept
        self._has_place = heads.place != "none"
        self._model = model
        self._wrong = self._total = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about where the fit began."""
        found = f"the head that {self._program} found ({self._source.name})"
        begun = (
            f"The fit began at {found}, and its identity was pulled to that."
            if not self._kept
            else f"This is {found}, placed on the landmarks and not fitted."
        )
        begun += f" Licence of {self._program}: {self._licence}; what it finds may be bound to it."
        lost = (
            f"At {self._wrong} of {self._total} frames, the head of {self._source.name} is not the one in the picture"
            + ("; these are left out." if self._kept else "; there the fit began at the landmarks.")
        )
        return (begun, lost) if self._wrong else (begun,)

    def heads(self, sights: Iterable[Sight]) -> list[FlameParams]:
        """Return the head in each picture; see `sage_ns.tracking.starts.Beginning.heads`.

        Raises:
            TrackingError: Most heads, or that of a photo, are not those in the pictures.
        """
        found, wrong = [], []
        rig = None
        for sight in sights:
            rig = rig or LandmarkRig(self._model, sight.embedding)
            row = self._row(sight.frame)
            view = KnownCamera.at_rest(sight.focal, sight.size).view()
            trust = sight.embedding.weight.double()
            head, part = self._params[row], rig.unknowns
            x, off = _placed(rig, head, self._ray(rig, row, trust), sight.face, trust, view)
            if off <= MOST_OFF or self._kept:
                moved = {"rotation": x[part.rotation], "translation": x[part.translation]}
                found.append(replace(head, **{name: value[None].float() for name, value in moved.items()}))
            else:
                x = placed(rig, sight.face, trust, view)
                found.append(replace(rig.whole(x, self._model), shape=head.shape))
            if not off <= MOST_OFF:
                wrong.append((row, off))
        self._wrong, self._total = len(wrong), len(found)
        if len(wrong) > _MOST_WRONG * len(found):
            row, off = wrong[0]
            missed = "misses the landmarks of the face"
            missed += " everywhere" if math.isinf(off) else f" by {off:.0%} of its width"
            raise TrackingError(
                f"{self._source}: head {row} {missed}, expected at most {MOST_OFF:.0%} (so do {len(wrong)} of "
                f"{len(found)} heads). Give what {self._program} has found in these pictures, in their order and not "
                "mirrored, of the person that is tracked (--face)."
            )
        return found

    def _row(self, frame: int | None) -> int:
        """Return the row of a frame; programs count the frames of a clip differently by one or two."""
        last = self._params.num_timesteps - 1
        if frame is not None and frame > last + _MOST_COUNT_OFF:
            raise TrackingError(
                f"{self._source}: found {last + 1} heads, expected one for each frame of the clip, which has a frame "
                f"{frame}. Run {self._program} on all frames of this file."
            )
        return min(frame or 0, last)

    def _ray(self, rig: LandmarkRig, row: int, trust: Float[Tensor, "478"]) -> Float[Tensor, "3"]:
        """Return the direction in which the tracker's camera sees the face."""
        ahead = torch.tensor(_AHEAD, dtype=torch.float64)
        if not self._has_place:
            return ahead
        toward = _middle(rig, rig.unknowns_of(self._params[row]), trust)
        if not toward[2] < 0:
            raise TrackingError(
                f"{self._source}: head {row} lies behind the camera (z = {float(toward[2]):+.2f} m; expected below 0, "
                f"cameras look along -z). Give {self._program}'s own file, unchanged."
            )
        return toward / toward.norm()


def _placed(
    rig: LandmarkRig,
    head: FlameParams,
    ray: Float[Tensor, "3"],
    face: Face,
    trust: Float[Tensor, "478"],
    view: View,
) -> tuple[Float[Tensor, "num_unknowns"], float]:
    """Return a head where a camera at the origin sees the landmarks, and how far they are off, in widths of the face.

    With Q(a, b) the shortest rotation that takes the direction a to b, the head is turned by
    ``Q(ahead, d) Q(ray, ahead) R``: R before the tracker's camera, which saw it along the ray, and d the direction in
    which this camera sees it. If both cameras are the same, that is R. Gauss-Newton finds the translation, from that of
    a parallel projection.

    Args:
        rig: landmarks of the head model.
        head: one moment with the neck at rest.
        ray: unit vector from the tracker's camera to the face.
        face: what the camera sees.
        trust: weights of the landmarks.
        view: the camera.
    """
    part, seen = rig.unknowns, face.points[:, :2].double()
    ahead = torch.tensor(_AHEAD, dtype=torch.float64)
    shown = turn_between(ray, ahead) @ axis_angle_to_matrix(head.rotation[0].double())
    x = rig.unknowns_of(replace(head, translation=torch.zeros_like(head.translation)))
    share = (trust / trust.sum())[:, None]
    flat = (seen - view.center) / view.focal * torch.tensor([1.0, -1.0], dtype=torch.float64)
    middle = (share * flat).sum(dim=0)
    toward = torch.cat([middle, ahead[2:]])
    x[part.rotation] = matrix_to_axis_angle(turn_between(ahead, toward / toward.norm()) @ shown)
    points = rig.points(x, view) - _middle(rig, x, trust)
    scale = float((share * points[:, :2] * (flat - middle)).sum() / (share * points[:, :2] ** 2).sum())
    if not scale > 0:  # upside down, or mirrored
        return x, float("inf")
    x[part.translation] = toward / scale - _middle(rig, x, trust)
    for _ in range(_ROUNDS):
        toward = _middle(rig, x, trust)
        x[part.rotation] = matrix_to_axis_angle(turn_between(ahead, toward / toward.norm()) @ shown)
        pulls = (rig.pixels(x, view) - seen) * share.sqrt()
        slopes = rig.jacobian(x, view, pose_alone=True)[part.translation] * share.sqrt()
        step = torch.linalg.lstsq(slopes.flatten(1).T, -pulls.flatten()[:, None]).solution[:, 0]
        x[part.translation] += step
        if float(step.norm()) < _ENOUGH or not bool(x[part.translation][2] < 0):
            break
    off = (share * (rig.pixels(x, view) - seen) ** 2).sum().sqrt()
    return x, float(off) / width_of_face(face)


def _middle(rig: LandmarkRig, x: Float[Tensor, "num_unknowns"], trust: Float[Tensor, "478"]) -> Float[Tensor, "3"]:
    """Return the mean place of the landmarks before a camera at the origin, metres."""
    return ((trust / trust.sum())[:, None] * rig.points(x)).sum(dim=0)
