"""One row of one capture: track its pictures, compare the head with the delivered one, keep the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import process_time

import torch

from sage_ns.bench.fingerprint import fingerprint
from sage_ns.bench.provenance import provenance
from sage_ns.bench.tracking.delivered import Delivered
from sage_ns.bench.tracking.kinds import (
    MEAN_HEAD,
    UNKNOWN_CAMERAS,
    UNTRACKED,
    Setting,
    Tracked,
    Tracker,
    TrackingKind,
)
from sage_ns.capture.frames import Frame
from sage_ns.errors import SageError
from sage_ns.evaluation.tracked_head import (
    FaceFigures,
    camera_figures,
    face_figures,
    mean_face_figures,
    motion_figures,
    require_same_vertices,
)
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.system.files import write_json
from sage_ns.system.typed_json import load_typed

RESULT_FILE = "result.json"
TRACKED = "tracked"
"""Folder beside the result: the capture that `sage-track` has written, to look at."""
_VERSION = 1
"""Part of the key: raise it when the same heads have other figures."""


@dataclass(frozen=True)
class TrackingResult:
    """The figures of one row of one capture."""

    key: str
    capture: str
    kind: str
    row: str
    head_model: str
    against: str = ""
    """What faces are compared with."""
    figures: dict[str, float] = field(default_factory=dict)
    """By name, see `sage_ns.bench.tracking.tables.COLUMNS`; none if the input was refused."""
    refused: str = ""
    """Why `sage-track` has refused the pictures."""
    notes: tuple[str, ...] = ()
    """What `sage-track` has printed about them."""
    seconds: float = 0.0
    """Of processor time, networks and head model loaded."""
    num_pictures: int = 0
    """That are in the capture that was written."""
    commit: str = ""
    date: str = ""

    @classmethod
    def load(cls, path: Path) -> TrackingResult | None:
        """Return the result of a file; None if it is missing or cannot be read."""
        try:
            return load_typed(cls, path, SageError)
        except SageError:
            return None


@dataclass(frozen=True, eq=False)
class Task:
    """One row of one capture."""

    delivered: Delivered
    kind: TrackingKind
    row: str
    frames: tuple[Frame, ...]
    setting: Setting
    folder: Path
    """Of the result."""
    key: str

    @classmethod
    def of(cls, delivered: Delivered, kind: TrackingKind, row: str, setting: Setting, out: Path) -> Task:
        """Return the task of a row.

        Raises:
            SageError: the capture has too few pictures for the kind.
        """
        frames = kind.pictures(delivered)
        folder = out / delivered.folder.name / f"{kind.name}-{row}"
        key = fingerprint(_VERSION, kind.name, row, asdict(setting), delivered.key(frames))
        return cls(delivered, kind, row, frames, setting, folder, key)

    def finished(self) -> TrackingResult | None:
        """Return the result of an earlier run; None if there is none, or one of other inputs, or a refusal."""
        result = TrackingResult.load(self.folder / RESULT_FILE)
        return result if result is not None and result.key == self.key and not result.refused else None

    def run(self, tracker: Tracker) -> TrackingResult:
        """Track, compare and keep the result; what `sage-track` refuses is a result, too."""
        model = self.delivered.model
        require_same_vertices(tracker.model, model, str(self.delivered.folder))
        begin = process_time()
        tracked, refused = None, ""
        if self.row not in UNTRACKED:
            try:
                tracked = self.kind.track(self.row, self.frames, self.setting, tracker, self.folder / TRACKED)
            except SageError as error:
                refused = str(error)
        seconds = process_time() - begin
        figures, against = ({}, "") if refused else self._figures(tracked, tracker.model)
        made = provenance()
        result = TrackingResult(
            key=self.key,
            capture=self.delivered.folder.name,
            kind=self.kind.name,
            row=self.row,
            head_model=model.name,
            against=against,
            figures=figures,
            refused=refused,
            notes=() if tracked is None else tracked.notes,
            seconds=round(seconds, 1),
            num_pictures=0 if tracked is None else len(tracked.pairs),
            commit=str(made["commit"] or made["version"]),
            date=str(made["date"]),
        )
        write_json(self.folder / RESULT_FILE, asdict(result))
        return result

    def _figures(self, tracked: Tracked | None, model: HeadModel) -> tuple[dict[str, float], str]:
        faces, against = self._faces(tracked, model)
        figures = {
            "surface": faces.surface,
            "correspondence": faces.correspondence,
            "surface_no_scale": faces.surface_no_scale,
            "scale": faces.scale,
        }
        if tracked is None:
            return figures, against
        found = [head for _, head in tracked.pairs]
        true = [self.delivered.seen(frame) for frame, _ in tracked.pairs]
        motion = motion_figures(found, true, self.delivered.model)
        figures |= {
            "rotation": motion.rotation_mean,
            **({"rotation_largest": motion.rotation_largest} if len(found) > 1 else {}),
            "jaw": motion.jaw_rms,
            **{f"{name}_r": value for name, value in motion.correlations.items()},
            "focal": tracked.focal_ratio,
        }
        if self.row == UNKNOWN_CAMERAS:
            cameras = camera_figures(*(torch.stack([each.camera_to_world for each in part]) for part in (found, true)))
            figures |= {f"camera_{name}": value for name, value in asdict(cameras).items()}
        return figures, against

    def _faces(self, tracked: Tracked | None, model: HeadModel) -> tuple[FaceFigures, str]:
        """Return the mean of the figures of all moments, each counted once."""
        moments = dict.fromkeys(frame.timestep for frame in self.frames)
        if tracked is not None:
            heads = {frame.timestep: head.params for frame, head in tracked.pairs}
        elif self.row == MEAN_HEAD:
            heads = dict.fromkeys(moments, FlameParams.neutral(model))
        else:
            heads = {timestep: self.delivered.moments[timestep] for timestep in moments}
        each, against = [], {}
        for timestep, params in heads.items():
            true = self.delivered.face(timestep)
            against[true.against] = None
            each.append(face_figures(pose_vertices(model, params)[0], true, model))
        return mean_face_figures(each), ", ".join(against)


def run_unfinished(
    tasks: Sequence[Task], tracker_of: Callable[[Delivered], Tracker], say: Callable[[str], None]
) -> Iterator[TrackingResult]:
    """Yield the result of every task; those of earlier runs are not measured again.

    Args:
        tasks: in the order of the work.
        tracker_of: returns what tracks a capture; called only for tasks without a result.
        say: called with a line about every task before it starts, and after it.
    """
    for number, task in enumerate(tasks, start=1):
        name = f"{task.delivered.folder.name}, {task.kind.name}, {task.row} ({number} of {len(tasks)})"
        result = task.finished()
        if result is not None:
            say(f"{name}: measured before")
        else:
            say(name)
            result = task.run(tracker_of(task.delivered))
            say(f"{name}: refused: {result.refused}" if result.refused else f"{name}: {result.seconds:.0f} s")
        yield result
