"""How well a source completes a person from one photo: what other cameras and other moments show, against the truth.

Nothing is trained afterwards: the figures are of the person as the source returns it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.interior import interior_triangles
from sage_ns.avatar.look import Look
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.rig_pixels import face_triangles, pixels_on, shown_triangles
from sage_ns.capture.checked import CaptureOptions, CheckedCapture, load_capture
from sage_ns.capture.frames import Frame
from sage_ns.capture.head_direction import seen_at
from sage_ns.capture.images import background_color
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.errors import CaptureError
from sage_ns.image.metrics import ImageMetrics
from sage_ns.motion.source import MotionSource
from sage_ns.priors.contract import Prior
from sage_ns.priors.people import read_shot, record_of
from sage_ns.rig import FlameParams
from sage_ns.system.files import whole_file
from sage_ns.system.progress import tracked

BANDS: Mapping[str, tuple[float, float]] = {"front": (0.0, 40.0), "slanting": (40.0, 75.0), "side": (75.0, 180.0)}
"""Other cameras of the photo's moment, by how far around the head they are: degrees."""


@dataclass(frozen=True)
class Scored:
    """One picture of the truth, and how well the completed person looks like it."""

    group: str
    """``photo``: other moments by the camera of the photo; ``others``: by other cameras; else a band of `BANDS`"""
    figures: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Trial:
    """A person with one photo, and pictures of the truth."""

    name: str
    record: CaptureRecord
    photo: Shot
    truths: Sequence[tuple[str, Shot, Float[Tensor, "num_coefficients"]]]
    """Group, picture and motion vector."""

    @classmethod
    def read(cls, options: CaptureOptions, every: int = 1) -> Trial:
        """Read a capture with one training picture.

        Args:
            options: the capture, with ``frames="photo"``.
            every: read each of so many test moments.

        Raises:
            CaptureError: the capture has not one training picture, or a picture has no mask; see also `load_capture`.
        """
        loaded = load_capture(options)
        train = loaded.splits.train
        if len(train) != 1:
            raise CaptureError(
                f"{options.data}: found {len(train)} training pictures; a prior is scored with captures of one photo."
            )
        background = background_color(options.background)
        record = record_of(loaded, options, background)
        motions = record.flame_params.motion_vector()
        moments = sorted({frame.timestep for frame in loaded.capture.test})[::every]
        truths = []
        for frame in (*loaded.capture.val, *loaded.capture.test):
            is_test = frame in loaded.capture.test
            if is_test and frame.timestep not in moments:
                continue
            motion = motions[loaded.tracking.row_of(frame.timestep)]
            shot = read_shot(frame, options.downscale_factor, background)
            group = _group(loaded, frame, train[0], motion, is_test)
            truths.append((group, shot, motion))
        photo = read_shot(train[0], options.downscale_factor, background)
        return cls(options.data.name, record, photo, truths)


def _group(loaded: CheckedCapture, frame: Frame, photo: Frame, motion: Tensor, is_test: bool) -> str:
    if is_test:
        return "photo" if frame.camera_index == photo.camera_index else "others"
    center = torch.from_numpy(frame.camera_to_world[None, :3, 3]).float()
    yaw = abs(float(seen_at(center, FlameParams.from_motion_vector(motion[None]), loaded.head_model).yaw))
    return next(name for name, (low, high) in BANDS.items() if low <= yaw <= high)


def score(source: Prior, trial: Trial, seed: int = 0, sheet: Path | None = None) -> list[Scored]:
    """Complete a person from the photo and compare every other picture with it.

    Args:
        source: a prior, or another source of completed people.
        trial: the person.
        seed: of all draws.
        sheet: file of a picture to write: one column for each camera, the person above the truth.

    Raises:
        SageError: the source cannot complete this person.
    """
    record = trial.record
    person = source.fit(record, [trial.photo], 0, torch.Generator().manual_seed(seed))
    rig = PersonalRig(record.head_model, record.flame_params)
    motion = MotionSource(record.flame_params, record.timesteps, record.canonical_row)
    interior = interior_triangles(rig, motion.canonical(), [trial.photo.camera])
    look = Look(wrinkles=0.0, mouth=False, correction=False)
    avatar = Avatar(rig, person.surfels, motion, interior, None, record.background, look)
    metrics, face = ImageMetrics(), face_triangles(record.head_model)
    scored, columns = [], {}
    with tracked(trial.truths, f"Comparing {trial.name}") as shown, torch.no_grad():
        for group, shot, moment in shown:
            drawn = avatar.draw(shot.camera, moment).composite(record.background).clamp(0.0, 1.0)
            pixels = pixels_on(shown_triangles(rig, moment, shot.camera), face) if bool(face.any()) else None
            scored.append(Scored(group, metrics(drawn, shot.picture, pixels)))
            columns.setdefault(tuple(shot.camera.center.tolist()), torch.cat([drawn, shot.picture]))
    if sheet is not None:
        _write_sheet(sheet, list(columns.values()))
    return scored


def _write_sheet(path: Path, columns: Sequence[Float[Tensor, "h w 3"]]) -> None:
    pixels = (255 * torch.cat(list(columns), dim=1)).round().byte().cpu().numpy()
    with whole_file(path) as unfinished:
        Image.fromarray(pixels).save(unfinished, format=path.suffix[1:].replace("jpg", "jpeg"))


def summary(scored: Sequence[Scored]) -> dict[str, dict[str, float]]:
    """Return the means of the figures by group, and of both groups of other moments as ``all``."""
    groups: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
    for each in scored:
        for group in _groups_of(each.group):
            groups[group].append(each.figures)
    return {group: _means(figures) for group, figures in groups.items()}


def _groups_of(group: str) -> Iterator[str]:
    yield group
    if group not in BANDS:
        yield "all"


def _means(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in figures for name in each)
    return {name: float(np.mean([each[name] for each in figures if name in each])) for name in names}
