"""How exact `sage-track` is: pictures of captures are tracked again and compared with the delivered tracking.

    python -m sage_ns.bench.tracking CAPTURE... --kind photo|clip|rig [--rows mean-head landmarks photometric] --out OUT

A row is tracked by the functions of the command: the picture of the canonical moment from the front as a photo, the
pictures of one camera as a clip, or all cameras of the canonical moment as a rig. `sage_ns.evaluation.tracked_head`
compares. OUT gets table.md, results.json, and for every capture and row the figures and the capture that was written. A
run that was stopped goes on; pairs that are measured are skipped, those that were refused are tried again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from sage_ns.bench.folder import check_names, is_own, refuse_other_capture, refuse_other_settings
from sage_ns.bench.sheet import as_rich
from sage_ns.bench.tracking.delivered import Delivered
from sage_ns.bench.tracking.kinds import Setting, Tracker, kinds, rows_of
from sage_ns.bench.tracking.measure import RESULT_FILE, Task, TrackingResult, run_unfinished
from sage_ns.bench.tracking.tables import as_json, markdown, sheets
from sage_ns.errors import OptionError, SageError, show_as_panels
from sage_ns.evaluation.tracked_head import require_same_vertices
from sage_ns.rig import HeadModel, load_head_model
from sage_ns.system.console import escape
from sage_ns.system.files import write_json, write_text
from sage_ns.system.processes import locked_folder
from sage_ns.system.typed_json import load_typed
from sage_ns.tracking.clip import MOST_FRAMES, RANGE_OF_FRAMES
from sage_ns.tracking.track_photo import Networks

SETTINGS_FILE = "tracking_benchmark.json"
TABLE_FILE, FIGURES_FILE = "table.md", "results.json"


def benchmark_tracking(
    captures: Sequence[Path],
    kind: str,
    rows: Sequence[str],
    out: Path,
    setting: Setting,
    networks: Networks,
    console: Console,
    head_model: Path | None = None,
    track_with: HeadModel | None = None,
) -> list[TrackingResult]:
    """Measure what is not measured yet; write table.md and results.json over everything in the folder.

    Args:
        captures: folders of captures with delivered tracking.
        kind: a name in `kinds`.
        rows: names of the kind's rows; none = the usual ones.
        out: a new folder, or that of an earlier run with the same settings.
        setting: what all rows share.
        networks: what finds faces and people.
        console: for progress.
        head_model: file of the captures' head model; None = the one found near each.
        track_with: head model to track with; None = that of the capture.

    Returns:
        all results in the folder.

    Raises:
        SageError: a capture, row, setting or folder cannot be used; nothing has been tracked or written.
    """
    chosen = kinds[kind]
    rows = rows_of(chosen, rows)
    folders = [each.expanduser().absolute() for each in captures]
    check_names(folders, "--out")
    if not RANGE_OF_FRAMES[0] <= setting.frames <= RANGE_OF_FRAMES[1]:
        raise OptionError(f"expected {RANGE_OF_FRAMES[0]} to {RANGE_OF_FRAMES[1]} frames", frames=setting.frames)
    out = out.expanduser().absolute()
    _claimed(out, folders, setting)
    delivered = [Delivered.load(each, head_model) for each in folders]
    for each in delivered:
        require_same_vertices(each.model if track_with is None else track_with, each.model, str(each.folder))
    tasks = [Task.of(each, chosen, row, setting, out) for each in delivered for row in rows]

    def say(line: str) -> None:
        console.print(escape(line), soft_wrap=True)

    def tracker_of(each: Delivered) -> Tracker:
        model = each.model if track_with is None else track_with
        return Tracker(model, networks, lambda step: console.print(f"[dim]{escape(step)}[/dim]", soft_wrap=True))

    with locked_folder(out, "benchmark of tracking"):
        write_json(out / SETTINGS_FILE, asdict(_claimed(out, folders, setting)))
        results: list[TrackingResult] = []
        for _ in run_unfinished(tasks, tracker_of, say):
            results = _all(out)
            write_text(out / TABLE_FILE, markdown(results))
            write_json(out / FIGURES_FILE, as_json(results))
    return results


@dataclass
class _Content:
    """Content of the folder's settings file."""

    setting: Setting
    captures: dict[str, str]
    """Absolute folders by name."""


def _claimed(out: Path, captures: Sequence[Path], setting: Setting) -> _Content:
    """Return the content of the folder's settings file with these captures; refuse a folder of something else."""
    path = out / SETTINGS_FILE
    if out.exists() and not out.is_dir():
        raise SageError(f"--out {out} is a file. Name a folder.")
    if path.exists():
        content = load_typed(_Content, path, SageError, "Name another folder as --out.")
    else:
        if out.is_dir() and any(not is_own(each) for each in out.iterdir()):
            raise SageError(f"--out {out} is not empty and not a folder of this benchmark. Name another folder.")
        content = _Content(setting, {})
    known, mine = asdict(content.setting), asdict(setting)
    refuse_other_settings(f"--out {out} belongs to another benchmark", known, mine, tuple(mine))
    for capture in captures:
        refuse_other_capture(f"--out {out}", Path(content.captures.get(capture.name, capture)), capture)
        content.captures[capture.name] = str(capture)
    return content


def _all(out: Path) -> list[TrackingResult]:
    found = (TrackingResult.load(path) for path in sorted(out.glob(f"*/*/{RESULT_FILE}")))
    return [each for each in found if each is not None]


def main(
    captures: Annotated[tuple[Path, ...], tyro.conf.Positional],
    out: Path,
    kind: str = "photo",
    rows: tuple[str, ...] = (),
    head_model: Path | None = None,
    track_with: Path | None = None,
    masks: bool = False,
    frames: int = MOST_FRAMES,
) -> None:
    """Track pictures of captures again with sage-track, and compare with the delivered tracking.

    Args:
        captures: folders of captures with tracking, in VHAP's layout.
        out: folder of the results; an earlier run with the same settings goes on.
        kind: what is tracked: photo, clip or rig.
        rows: what is compared; photo: mean-head landmarks photometric, and landmarks-focal and photometric-focal, which
            know the focal length; clip: mean-head landmarks landmarks-focal; rig: mean-head landmarks unknown-cameras
            (by COLMAP); all: delivered, the delivered tracking itself. Default: the first three, two and two of these.
        head_model: head model file that the captures were tracked with; default: the one found near each.
        track_with: head model file to track with; it must have the same vertices. Default: that of the capture.
        masks: give sage-track the masks of the captures (photo and rig).
        frames: most frames of a clip.
    """
    show_as_panels()
    console = Console(width=None if "COLUMNS" in os.environ else 200)
    results = benchmark_tracking(
        captures,
        kind,
        rows,
        out,
        Setting(masks, frames),
        Networks.shipped(),
        console,
        head_model,
        None if track_with is None else load_head_model(track_with),
    )
    for sheet in sheets(results):
        console.print(as_rich(sheet))
    console.print(f"table    {escape(str(out / TABLE_FILE))}", soft_wrap=True)
    console.print(f"figures  {escape(str(out / FIGURES_FILE))}", soft_wrap=True)


if __name__ == "__main__":
    tyro.cli(main)
