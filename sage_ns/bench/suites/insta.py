"""Suite ``insta``: INSTA's subjects under their usual protocol, with the mean over them (the paper's Table II)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from sage_ns.bench.rows import MONOCULAR_ALL, MULTI
from sage_ns.bench.suites.figures import over_seeds, psnr, quality
from sage_ns.bench.suites.registry import Suite, register_suite
from sage_ns.errors import SageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sage_ns.bench.measured import CaptureFacts, Measured
    from sage_ns.bench.sheet import Sheet

ROWS = (MULTI, MONOCULAR_ALL)
"""Rows of the suite: all training frames of the one camera."""
TEST_FRAMES, SIZE = 350, 512
"""The protocol: the last 350 frames are for testing, pictures have 512 x 512 px on white."""
PUBLISHED: Mapping[str, tuple[float, float, float]] = {
    "SAGE (published)": (29.03, 0.925, 0.082),
    "RGBAvatar (published)": (29.02, 0.933, 0.087),
    "GaussianAvatars (published)": (28.11, 0.944, 0.065),
}
"""Means over INSTA's subjects in arXiv 2606.05912, Table II, full videos: PSNR, SSIM, LPIPS."""
_FIGURES = {"psnr": 2, "ssim": 3, "lpips": 3}
"""Figures of the mean, and their digits."""


@register_suite
class InstaSubjects(Suite):
    """Surfels and SAGE on all training frames of each subject, tested on its last frames."""

    name: ClassVar[str] = "insta"
    summary: ClassVar[str] = "captures of one camera, tested on their last frames, with the mean over the captures"

    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return the rows, which train on all moments.

        Raises:
            SageError: the capture has no test frames, or one training moment.
        """
        if not _test_frames(facts):
            raise SageError(
                f"{facts.folder}: the suite insta tests on the last frames of a capture, and there is no test split. "
                f"Convert it again with sage-capture insta --test-frames {TEST_FRAMES}."
            )
        if len(facts.cameras) < 2:
            raise SageError(
                f"{facts.folder}: the suite insta trains on a video, and the capture has {len(facts.cameras)} training "
                "moment. Give a capture with more."
            )
        return ROWS

    def sheet(self, measured: Measured) -> Sheet:
        """Return a line for each row: the test frames, their whole pictures and their faces."""
        from sage_ns.bench.sheet import Sheet

        rows = [(row, quality(each, "all"), quality(each, "all", "_face")) for row, each in measured.summaries.items()]
        title = f"{measured.facts.name}: test frames, PSNR / SSIM / LPIPS{over_seeds(measured)}{departures([measured])}"
        return Sheet(title, ("row", "test frames", "their faces"), rows)

    def plot(self, measured: Measured) -> Figure:
        """Return PSNR of the test frames by row, whole pictures and faces."""
        from sage_ns.bench.plots import bar_plot

        def bars(region: str) -> list[float | None]:
            found = [psnr(each, "all", region) for each in measured.summaries.values()]
            return [None if each is None else each.mean for each in found]

        title = f"{measured.facts.name}: test frames"
        return bar_plot(title, "PSNR [dB]", list(measured.summaries), {"pictures": bars(""), "faces": bars("_face")})

    def across(self, measured: Sequence[Measured]) -> Sheet | None:
        """Return the means over the subjects, each subject, and the published means."""
        from sage_ns.bench.across import by_capture
        from sage_ns.bench.sheet import Sheet

        with_results = [each for each in measured if each.summaries]
        if not with_results:
            return None
        results = [result for each in with_results for _, result in each.done]
        lines = []
        for row in dict.fromkeys(row for each in with_results for row in each.summaries):
            values = {name: by_capture(results, row, "all", name) for name in _FIGURES}
            subjects = [quality(each.summaries.get(row), "all") for each in with_results]
            lines.append([row, _mean(values), str(len(values["psnr"])), *subjects])
        lines += [[name, _shown(values), "-", *("-" for _ in with_results)] for name, values in PUBLISHED.items()]
        headings = ("row", "mean over the subjects", "subjects", *(each.facts.name for each in with_results))
        title = f"INSTA's protocol, test frames, PSNR / SSIM / LPIPS{departures(with_results)}"
        return Sheet(title, headings, lines)


def departures(measured: Sequence[Measured]) -> str:
    """Return what a title says about the captures that do not follow the protocol; empty if all do."""
    found = [text for each in measured if (text := _departure(each))]
    return f"; not the usual protocol: {'; '.join(found)}" if found else ""


def _departure(measured: Measured) -> str:
    from sage_ns.capture.images import downscaled_size

    facts, frames = measured.facts, _test_frames(measured.facts)
    if not frames:
        return ""
    parts = []
    factor = measured.done[0][0].settings.downscale_factor if measured.done else 1
    sizes = {downscaled_size(width, height, factor) for _, width, height in frames}
    if sizes != {(SIZE, SIZE)}:
        parts.append("pictures of " + ", ".join(f"{width} x {height} px" for width, height in sorted(sizes)))
    if len(frames) != TEST_FRAMES:
        parts.append(f"{len(frames)} test frames")
    if min(timestep for timestep, _, _ in frames) < max(facts.cameras):
        parts.append("test frames before training frames")
    return f"{facts.name} has {', '.join(parts)}" if parts else ""


def _test_frames(facts: CaptureFacts) -> list[tuple[int, int, int]]:
    """Return timestep, width and height of each test frame."""
    from sage_ns.capture.layout import read_capture

    return [(frame.timestep, frame.width, frame.height) for frame in read_capture(facts.folder).test]


def _mean(values: Mapping[str, Mapping[str, float]]) -> str:
    """Return the means over captures of each figure that any capture has."""
    from statistics import fmean

    return " / ".join(f"{fmean(found.values()):.{_FIGURES[name]}f}" for name, found in values.items() if found)


def _shown(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.{digits}f}" for value, digits in zip(values, _FIGURES.values(), strict=True))
