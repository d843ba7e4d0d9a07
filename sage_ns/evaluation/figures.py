"""Names of figures: how tables show a figure, and which direction is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sage_ns.evaluation.regions import BROWS, EYES, HAIR_OUTLINE

SEEN, GUESSED = "seen", "guessed"
"""Regions by what training pictures have shown of the avatar, see `sage_ns.avatar.evidence.seen_and_guessed`."""


@dataclass(frozen=True)
class Measure:
    """A measure of pictures; its name begins the names of its figures (``psnr``, ``psnr_face``, ``psnr_eyes``)."""

    title: str
    digits: int
    larger_is_better: bool = True


MEASURES: Mapping[str, Measure] = {
    "psnr": Measure("PSNR", 2),
    "ssim": Measure("SSIM", 3),
    "lpips": Measure("LPIPS", 3, larger_is_better=False),
    "ms_ssim": Measure("MS-SSIM", 3),
    "gmsd": Measure("GMSD", 3, larger_is_better=False),
}

REGION_TITLES: Mapping[str, str] = {
    EYES: "eyes",
    "mouth_open": "mouth, open",
    "mouth_closed": "mouth, closed",
    BROWS: "brows, forehead",
    HAIR_OUTLINE: "outline of hair",
}
"""Regions in the order of the tables; PSNR of each is ``psnr_`` and its name."""

EVIDENCE_TITLES: Mapping[str, str] = {SEEN: "seen pixels", GUESSED: "guessed pixels"}
"""The same for the regions that depend on the avatar; they have no figures after alignment."""

ALIGNED = "aligned_"
"""Beginning of the names of figures after the head was aligned, see `sage_ns.evaluation.aligned`."""


def measure_of(figure: str) -> Measure | None:
    """Return the measure of a figure; None for what is not a quality (``aligned_shift``, ``aligned_turn``)."""
    name = figure.removeprefix(ALIGNED)
    return next((each for start, each in MEASURES.items() if name == start or name.startswith(f"{start}_")), None)


def title_of(figure: str) -> str:
    """Return the words for a figure in a table: ``PSNR, face, aligned`` for ``aligned_psnr_face``."""
    measure, name = measure_of(figure), figure.removeprefix(ALIGNED)
    start = next((each for each in MEASURES if MEASURES[each] is measure), name)
    region = name.removeprefix(start).removeprefix("_")
    words = [measure.title if measure else name, {**REGION_TITLES, **EVIDENCE_TITLES}.get(region, region)]
    return ", ".join([word for word in words if word] + ["aligned"] * figure.startswith(ALIGNED))
