"""Select which training moments and cameras a training uses. The validation and test splits stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.flame_table import expression_distances
from sage_ns.capture.frames import Frame
from sage_ns.capture.splits import ONE_MOMENT, FramesMode, Splits
from sage_ns.errors import CaptureError
from sage_ns.geometry.farthest_points import farthest_first
from sage_ns.rig import FlameParams, HeadModel, concatenate, pose_vertices
from sage_ns.rig.front import face_direction

_MOST_NAMED = 12


@dataclass(frozen=True)
class Selection:
    """Training moments and cameras to use; a field that is None selects nothing away."""

    timesteps: tuple[int, ...] | None = None
    """Timestep ids; they contain the canonical one."""
    num_timesteps: int | None = None
    """Number of moments: the canonical one, then each time the one whose expression differs most from all chosen."""
    cameras: tuple[int, ...] | None = None
    """Camera indices; at least one films the canonical moment."""
    num_cameras: int | None = None
    """Number of cameras: the most frontal one of the canonical moment, then each time the one whose direction is
    farthest from all chosen."""

    def check(self, mode: FramesMode) -> None:
        """Check the fields by themselves, before anything is read.

        Raises:
            CaptureError: a field is empty or out of range, contradicts another one, or asks for more moments than
                ``mode`` trains on.
        """
        for names, number in (("timesteps", "num_timesteps"), ("cameras", "num_cameras")):
            ids, count = getattr(self, names), getattr(self, number)
            if ids is not None and count is not None:
                raise CaptureError(f"{names} {_listed(ids)} and {number} {count} are both set. Give one of them.")
            if ids is not None and not ids:
                raise CaptureError(f"{names} is empty. Name at least one, or leave the option out to use all.")
            if count is not None and count < 1:
                raise CaptureError(f"{number} is {count}; give a whole number >= 1.")
        if mode in ONE_MOMENT and (self.num_timesteps or 1) > 1:
            raise CaptureError(
                f"num_timesteps is {self.num_timesteps}, but frames is {mode}: the training uses the canonical moment "
                "alone. Give --frames multi, too."
            )
        if mode in ONE_MOMENT and self.timesteps is not None:
            raise CaptureError(
                f"timesteps is {_listed(self.timesteps)}, but frames is {mode}: the training uses the canonical moment "
                "alone. Give --frames multi, too, or --canonical-timestep to choose that moment."
            )


def select_training(
    splits: Splits, selection: Selection, moments: Mapping[int, FlameParams], model: HeadModel, capture: str
) -> Splits:
    """Return the splits with the selected training frames; cameras are selected first, then moments that they filmed.

    Args:
        splits: splits of the whole capture; val and test do not change.
        selection: a checked selection.
        moments: parameters by timestep id.
        model: head model of the capture.
        capture: name of the capture, for messages.

    Raises:
        CaptureError: a moment or a camera cannot be selected; names field, value and what there is.
    """
    cameras = _cameras(splits, selection, moments, model, capture)
    filmed = tuple(frame for frame in splits.train if frame.camera_index in cameras)
    timesteps = _timesteps(splits, filmed, selection, moments, model, capture)
    return replace(splits, train=tuple(frame for frame in filmed if frame.timestep in timesteps))


def _cameras(
    splits: Splits, selection: Selection, moments: Mapping[int, FlameParams], model: HeadModel, capture: str
) -> set[int]:
    canonical = splits.canonical_timestep
    there = {frame.camera_index for frame in splits.train}
    at_canonical = _first_by_camera(frame for frame in splits.train if frame.timestep == canonical)
    if selection.cameras is not None:
        held_out = {frame.camera_index for frame in (*splits.val, *splits.test)}
        for index in selection.cameras:
            if index not in there:
                why = "films held-out pictures only" if index in held_out else "is not a camera of the capture"
                raise CaptureError(
                    f"{capture}: cameras: camera {index} {why}. Cameras with training pictures: {_listed(there)}."
                )
        if not set(selection.cameras) & set(at_canonical):
            raise CaptureError(
                f"{capture}: cameras: none of {_listed(selection.cameras)} films the canonical timestep {canonical}, "
                f"but {_listed(at_canonical)} do. Name at least one of these."
            )
        return set(selection.cameras)
    if selection.num_cameras is None:
        return there
    if selection.num_cameras > len(at_canonical):
        raise CaptureError(
            f"{capture}: num_cameras is {selection.num_cameras}, but {len(at_canonical)} cameras film the canonical "
            f"timestep {canonical} for training: {_listed(at_canonical)}. Give at most {len(at_canonical)}."
        )
    return set(cameras_in_order(list(at_canonical.values()), moments[canonical], model, selection.num_cameras))


def cameras_in_order(
    frames: Sequence[Frame], params: FlameParams, model: HeadModel, count: int | None = None
) -> tuple[int, ...]:
    """Return camera indices spread over directions: the most frontal one first, then by :func:`farthest_first`.

    The direction of a camera is that from the posed head's centre to it; distances are angles between directions.

    Args:
        frames: frames of one moment; the first one of each camera counts.
        params: parameters of that moment.
        model: head model of the capture.
        count: number of cameras; None: all.
    """
    by_camera = _first_by_camera(frames)
    indices = sorted(by_camera)
    center = pose_vertices(model, params)[0].mean(dim=0)
    centers = torch.from_numpy(np.stack([by_camera[index].camera_to_world[:3, 3] for index in indices])).to(center)
    directions = torch.nn.functional.normalize(centers - center, dim=-1)
    front = face_direction(params.motion_vector()[0])
    first = int((directions @ front).numpy().argmax())
    order = farthest_first(first, count or len(indices), lambda row: angles(directions, directions[row]))
    return tuple(indices[row] for row in order)


def angles(directions: Float[Tensor, "n 3"], direction: Float[Tensor, "3"]) -> Float[Tensor, "n"]:
    """Return the angles in radians between unit vectors and one unit vector; accurate for small angles, too."""
    chord = (directions - direction).norm(dim=-1) / 2
    return 2 * torch.asin(chord.clamp_max(1.0))


def _timesteps(
    splits: Splits,
    filmed: Sequence[Frame],
    selection: Selection,
    moments: Mapping[int, FlameParams],
    model: HeadModel,
    capture: str,
) -> set[int]:
    canonical = splits.canonical_timestep
    available = sorted({frame.timestep for frame in filmed})
    if selection.timesteps is not None:
        chosen = set(selection.timesteps)
        for timestep in sorted(chosen - set(available)):
            raise _not_available(timestep, splits, available, capture)
        if canonical not in chosen:
            raise CaptureError(
                f"{capture}: timesteps {_listed(chosen)} leave out the canonical timestep {canonical}, at which the "
                f"avatar is reconstructed. Add {canonical}, or choose another one with --canonical-timestep."
            )
        return chosen
    if selection.num_timesteps is None:
        return set(available)
    if selection.num_timesteps > len(available):
        raise CaptureError(
            f"{capture}: num_timesteps is {selection.num_timesteps}, but the selected cameras have training pictures "
            f"of {len(available)} timesteps: {_listed(available)}. Give at most {len(available)}."
        )
    return set(timesteps_in_order(available, canonical, moments, model, selection.num_timesteps))


def timesteps_in_order(
    available: Sequence[int],
    canonical: int,
    moments: Mapping[int, FlameParams],
    model: HeadModel,
    count: int | None = None,
) -> tuple[int, ...]:
    """Return timestep ids from most to least different: the canonical one first, then by :func:`farthest_first`.

    Distances are those of :func:`sage_ns.capture.flame_table.expression_distances`: expression and jaw count, head pose
    and gaze do not.

    Args:
        available: timestep ids to choose from, with the canonical one.
        canonical: id of the canonical moment.
        moments: parameters by timestep id.
        model: head model of the capture.
        count: number of moments; None: all.
    """
    ids = sorted(available)
    params = concatenate([moments[timestep].with_identity(moments[canonical]) for timestep in ids])
    order = farthest_first(
        ids.index(canonical), count or len(ids), lambda row: expression_distances(params, model, row)
    )
    return tuple(ids[row] for row in order)


def _not_available(timestep: int, splits: Splits, available: Sequence[int], capture: str) -> CaptureError:
    if any(frame.timestep == timestep for frame in splits.train):
        why = "has no training picture of the selected cameras"
    elif any(frame.timestep == timestep for frame in splits.test):
        why = "is held out for the test"
    else:
        why = "has no training picture"
    return CaptureError(
        f"{capture}: timesteps: timestep {timestep} {why}. Timesteps to choose from: {_listed(available)}."
    )


def _first_by_camera(frames: Iterable[Frame]) -> dict[int, Frame]:
    found: dict[int, Frame] = {}
    for frame in frames:
        found.setdefault(frame.camera_index, frame)
    return dict(sorted(found.items()))


def _listed(ids: Iterable[int]) -> str:
    ordered = sorted(set(ids))
    return ", ".join(map(str, ordered[:_MOST_NAMED])) + (" ..." if len(ordered) > _MOST_NAMED else "")
