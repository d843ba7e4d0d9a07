"""What follows the fit to landmarks, by name: nothing, or a refinement on the colours of the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from jaxtyping import Float

from sage_ns.errors import TrackingError
from sage_ns.priors.coded import load_prior
from sage_ns.priors.sources import SHIPPED
from sage_ns.rig.correspondence import RegistrationError
from sage_ns.system.progress import progress_bar
from sage_ns.system.registry import Registry
from sage_ns.tracking.choice import MOST_DISAGREEMENT
from sage_ns.tracking.landmark_fit import HeadFit
from sage_ns.tracking.photometric_fit import PhotometricFit, PhotometricSettings, SeenHead

PHOTOMETRIC, LANDMARKS = "photometric", "landmarks"


@dataclass(frozen=True, eq=False)
class Refinement:
    """A head after its refinement."""

    fit: HeadFit
    drawing: Float[np.ndarray, "height width 3"] | None = None
    """The head as it was compared with the picture, on white; None if nothing was drawn."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """What was done, for the report of the capture."""
    note: str = ""
    """What the user should know."""


class Refiner(Protocol):
    """A way to refine a head that was fitted to landmarks."""

    name: ClassVar[str]

    def refine(self, seen: SeenHead) -> Refinement:
        """Return the head, never one that explains landmarks and picture less well."""
        ...


refiners: Registry[Refiner] = Registry("refinement", TrackingError)


@refiners.register
class LandmarksAlone:
    """The fit to landmarks stays as it is."""

    name: ClassVar[str] = LANDMARKS

    def refine(self, seen: SeenHead) -> Refinement:
        """Return the head that was fitted."""
        return Refinement(seen.fit)


@refiners.register
class Photometric:
    """Analysis by synthesis with the people of the prior that comes with the package."""

    name: ClassVar[str] = PHOTOMETRIC

    def refine(self, seen: SeenHead) -> Refinement:
        """Return the refined head if landmarks and picture together speak for it, else the one that was fitted."""
        try:
            search = PhotometricFit(seen, load_prior(SHIPPED), PhotometricSettings())
        except RegistrationError as error:
            return Refinement(seen.fit, note=f"The head was fitted to landmarks alone: {error}")
        with progress_bar("comparing the head with the picture") as bar:
            search.run(bar)
        return judged(search)


def judged(search: PhotometricFit) -> Refinement:
    """Return what a search has found, or the head that it started from if that is the better one.

    Both heads are compared in the light that suits them best, with the same person.
    """
    level, found = search.level(search.settings.widths[-1]), search.x
    before, after = (search.verdict(level, x) for x in (search.start, found))
    fit = search.fit()
    better = after.energy < before.energy and fit.disagreement <= MOST_DISAGREEMENT
    report = {
        "by": PHOTOMETRIC,
        "kept": better,
        "cost_before": round(before.energy, 3),
        "cost_after": round(after.energy, 3),
        "color_off_before": round(before.color_off, 4),
        "color_off_after": round(after.color_off, 4),
        "landmarks_rms_px_before": round(search.seen.fit.rms, 3),
        "landmarks_rms_px_after": round(fit.rms, 3),
    }
    note = "" if better else "The picture's colours did not improve the fit to landmarks, which was kept."
    drawing = (after if better else before).drawing.on_white.double().numpy()
    return Refinement(fit if better else search.seen.fit, drawing, report, note)
