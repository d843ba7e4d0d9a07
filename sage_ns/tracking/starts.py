"""Where the fit to landmarks begins, by name: at the mean head, or at the head that a predictor sees in the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from jaxtyping import UInt8

from sage_ns.errors import TrackingError
from sage_ns.priors.predictor import load_predictor
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.rig.flame_params import concatenate
from sage_ns.system.registry import Registry
from sage_ns.tracking.face import Face

MEAN_HEAD, PREDICTOR = "landmarks", "predictor"

BEGUN = "The fit began at the head that {} predicted, and its identity was pulled to that."
"""Note for the user, with the name of the file."""

FirstHead = Callable[[UInt8[np.ndarray, "height width 3"], Face, float], FlameParams]
"""Returns the head in a picture, of the face that was found in it, seen with a focal length [pixels]: one moment in the
axes of the camera at the origin."""


class Start(Protocol):
    """A way to begin."""

    name: ClassVar[str]

    def open(self, file: Path | None, model: HeadModel) -> FirstHead | None:
        """Return what finds the first head; None = the fit places the mean head on the landmarks.

        Args:
            file: that the user gives for it.
            model: head model that is fitted.

        Raises:
            SageError: the file is missing, superfluous or broken, or is for another head model.
        """
        ...


starts: Registry[Start] = Registry("start", TrackingError)


@starts.register
class MeanHead:
    """The mean head, placed on the landmarks."""

    name: ClassVar[str] = MEAN_HEAD

    def open(self, file: Path | None, model: HeadModel) -> None:
        """Return None; see `Start.open`."""
        if file is not None:
            raise TrackingError(f"{file}: a predictor is used by --initialise {PREDICTOR} alone. Give both or neither.")


@starts.register
class PredictedHeads:
    """What a predictor sees (`sage_ns.priors.predictor`)."""

    name: ClassVar[str] = PREDICTOR

    def open(self, file: Path | None, model: HeadModel) -> FirstHead:
        """Return the predictor of a file; see `Start.open`."""
        if file is None:
            raise TrackingError(
                f"--initialise {PREDICTOR}: give the file of a predictor for your head model: --predictor FILE. None "
                "comes with the package; sage-prior learn-predictor learns one."
            )
        predictor = load_predictor(file)
        predictor.check_rig(model, str(file))
        rig = predictor.rig_of(model)

        def first(picture: UInt8[np.ndarray, "height width 3"], face: Face, focal: float) -> FlameParams:
            return predictor.parameters(picture, face.points[:, :2], focal, model, rig)

        return first


def one_person(heads: list[FlameParams]) -> FlameParams:
    """Return the heads of one person at several moments, with the mean of their identities."""
    shape = torch.stack([each.shape for each in heads]).mean(dim=0)
    return replace(concatenate(heads), shape=shape)
