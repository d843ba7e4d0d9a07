"""Where the fit to landmarks begins, by name: at the mean head, at the head that a predictor sees, or at another
tracker's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol

import torch

from sage_ns.errors import OptionError, TrackingError
from sage_ns.priors.predictor import load_predictor
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.rig.flame_params import concatenate
from sage_ns.system.registry import Registry
from sage_ns.tracking.sight import Sight

MEAN_HEAD, PREDICTOR, TRACKER = "landmarks", "predictor", "tracker"


@dataclass(frozen=True)
class StartFiles:
    """Files that the user gives for starts; each start takes its own, and refuses the others."""

    predictor: Path | None = None
    tracker_file: Path | None = None
    keep_heads: bool = False
    """Whether the heads of the tracker are kept as they are, but for their place."""


class Beginning(Protocol):
    """What finds the first heads."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about where the fit began, once the heads are found."""
        ...

    def heads(self, sights: Iterable[Sight]) -> list[FlameParams]:
        """Return the head in each picture: one moment in the axes of the camera at the origin.

        Raises:
            SageError: the file says nothing about the pictures.
        """
        ...


class Start(Protocol):
    """A way to begin."""

    name: ClassVar[str]

    def open(self, files: StartFiles, model: HeadModel, frames: int | None = None) -> Beginning | None:
        """Return what finds the first heads; None = the fit places the mean head on the landmarks.

        Args:
            files: that the user gives.
            model: head model that is fitted.
            frames: number of frames of the clip; 0 = unknown, None = a photo.

        Raises:
            SageError: a file is missing, superfluous or broken, or is for another head model or other pictures.
        """
        ...


starts: Registry[Start] = Registry("start", TrackingError)


@starts.register
class MeanHead:
    """The mean head, placed on the landmarks."""

    name: ClassVar[str] = MEAN_HEAD

    def open(self, files: StartFiles, model: HeadModel, frames: int | None = None) -> None:
        """Return None; see `Start.open`."""
        _refuse_predictor(files)
        _refuse_tracker_file(files)


@starts.register
class PredictedHeads:
    """What a predictor sees (`sage_ns.priors.predictor`)."""

    name: ClassVar[str] = PREDICTOR

    def open(self, files: StartFiles, model: HeadModel, frames: int | None = None) -> Beginning:
        """Return the predictor of a file; see `Start.open`."""
        _refuse_tracker_file(files)
        if files.predictor is None:
            raise TrackingError(
                f"--initialise {PREDICTOR}: give the file of a predictor for your head model: --predictor FILE. None "
                "comes with the package; sage-prior learn-predictor learns one."
            )
        return _PredictorBeginning(files.predictor, model)


class _PredictorBeginning:
    def __init__(self, file: Path, model: HeadModel) -> None:
        self._predictor = load_predictor(file)
        self._predictor.check_rig(model, str(file))
        self._model, self._rig = model, self._predictor.rig_of(model)
        self.notes = (f"The fit began at the head that {file.name} predicted, and its identity was pulled to that.",)

    def heads(self, sights: Iterable[Sight]) -> list[FlameParams]:
        """Return what the predictor sees; see `Beginning.heads`."""
        return [
            self._predictor.parameters(each.picture, each.face.points[:, :2], each.focal, self._model, self._rig)
            for each in sights
        ]


@starts.register
class TrackedStart:
    """Heads that another tracker has found (`sage_ns.tracking.tracker_start`)."""

    name: ClassVar[str] = TRACKER

    def open(self, files: StartFiles, model: HeadModel, frames: int | None = None) -> Beginning:
        """Return the heads of a file; see `Start.open`."""
        from sage_ns.capture.tracker_files import describe_programs, read_heads
        from sage_ns.tracking.tracker_start import TrackerBeginning

        _refuse_predictor(files)
        if files.tracker_file is None:
            raise TrackingError(
                f"--initialise {TRACKER}: give what the tracker has found: --tracker-file PATH. PATH is "
                f"{describe_programs()}."
            )
        heads = read_heads(files.tracker_file.expanduser())
        return TrackerBeginning(heads, model, frames, files.keep_heads)


def one_person(heads: list[FlameParams]) -> FlameParams:
    """Return the heads of one person at several moments, with the mean of their identities."""
    shape = torch.stack([each.shape for each in heads]).mean(dim=0)
    return replace(concatenate(heads), shape=shape)


def _refuse_predictor(files: StartFiles) -> None:
    if files.predictor is not None:
        raise TrackingError(
            f"{files.predictor}: a predictor is used by --initialise {PREDICTOR} alone. Give both or neither."
        )


def _refuse_tracker_file(files: StartFiles) -> None:
    if files.tracker_file is not None:
        raise TrackingError(
            f"{files.tracker_file}: a tracker's file is used by --initialise {TRACKER} alone. Give both or neither."
        )
    if files.keep_heads:
        raise OptionError(f"only the heads of --initialise {TRACKER} can be kept", keep_heads=True)
