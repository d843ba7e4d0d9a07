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
MOST_OFF = 0.1
"""Mean difference of colours (0..1, over the parts of the head that count) from which on a drawing is of somebody else:
hair covers ears and forehead, or the colours are no person's. Of 13 tracked people, the colours of those whom the
refinement has helped are off by 0.03 to 0.06, and those of one whom it turned by 7 degrees too far by 0.14."""
LEAST_GAIN = 0.05
"""Share of the cost that a refinement has to remove: 8 to 16 % on the people whom it has helped, 2 % on one whose face
it made worse."""


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
    reason = doubt(before.energy, after.energy, after.color_off, fit.disagreement)
    better = reason is None
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
    note = "" if better else f"The head is the one that was fitted to landmarks: {reason}."
    drawing = (after if better else before).drawing.on_white.double().numpy()
    return Refinement(fit if better else search.seen.fit, drawing, report, note)


def doubt(cost_before: float, cost_after: float, color_off: float, disagreement: float) -> str | None:
    """Return why a refined head is not to be trusted; None if it is.

    Args:
        cost_before: of picture, landmarks and spreads of people, for the head that was fitted to landmarks.
        cost_after: for the refined head.
        color_off: mean difference of colours between picture and drawing, 0..1.
        disagreement: of the refined head with the landmarks, relative to the width of the face.
    """
    if cost_after >= cost_before:
        return "the picture's colours did not improve it"
    if disagreement > MOST_DISAGREEMENT:
        return f"the refined one is off its landmarks by {disagreement:.1%} of the face"
    if color_off > MOST_OFF:
        return "its drawing does not look like the picture (hair over ears or forehead, or unusual colours)"
    if cost_after > (1 - LEAST_GAIN) * cost_before:
        return "the picture's colours hardly speak for another one"
    return None
