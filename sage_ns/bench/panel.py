"""Panels: people that nobody tuned on, each tracked with noise and without, drawn into the folder of a benchmark."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sage_ns.bench.facekit_people import EXACT, MONOCULAR, PHOTO, is_drawn, is_drawn_as, missing_parts, person_name
from sage_ns.errors import SageError
from sage_ns.synthetic.studio import SyntheticCapture, synthesize_capture
from sage_ns.system.files import read_json, write_json
from sage_ns.system.processes import locked_folder
from sage_ns.system.progress import tracked

SHARED_VARIABLE = "SAGE_SHARED"
"""Environment variable with the folder that contains ``facekit``: the optional data of tests and benchmarks."""

KEPT_FOR_CHECKS = range(100, 200)
"""Numbers of FaceKit people that no development may look at."""

_LINES_OF_LOG = 8


@dataclass(frozen=True)
class Panel:
    """Captures of a panel and the head model that they share."""

    captures: tuple[Path, ...]
    head_model: Path | None
    """None = each capture has its own"""


def draw_panel(name: str, out: Path, numbers: Sequence[int], head_model: Path | None = None) -> Panel:
    """Draw the people of a panel that are not there yet.

    Args:
        name: name of a panel, see :data:`PANELS`.
        out: folder that gets a capture for each person and each kind of tracking.
        numbers: numbers of the people.
        head_model: head model file instead of the panel's own.

    Returns:
        captures in the order of the numbers; those tracked with noise first.

    Raises:
        SageError: there is no such panel, its data are not on this machine, or a number is not allowed.
    """
    if name not in PANELS:
        raise SageError(f"There is no panel '{name}'. Panels: {', '.join(PANELS)}.")
    if not numbers or min(numbers) < 0:
        raise SageError(f"--people is {list(numbers)}; give one or more whole numbers from 0.")
    with locked_folder(out, "drawing of people"):
        panel = PANELS[name](out, numbers)
    return panel if head_model is None else Panel(panel.captures, head_model)


def find_facekit() -> Path:
    """Return the folder of FaceKit's data and scripts.

    Raises:
        SageError: the environment does not name it, or it lacks a file.
    """
    root = os.environ.get(SHARED_VARIABLE)
    if not root:
        raise SageError(
            f"The panel 'facekit' needs the scripts that draw FaceKit's people: set {SHARED_VARIABLE} to the folder "
            "that contains facekit/. The panel 'builtin' needs nothing."
        )
    facekit = Path(root).expanduser().absolute() / "facekit"
    missing = missing_parts(facekit)
    if missing:
        found = missing[0].relative_to(facekit)
        raise SageError(f"{facekit} has no {found}. Set {SHARED_VARIABLE} to the folder that contains facekit/.")
    return facekit


def _facekit(out: Path, numbers: Sequence[int]) -> Panel:
    ends = ("", EXACT)
    facekit, names = _drawn(out, numbers, lambda name: is_drawn(out / (name + EXACT)))
    return Panel(tuple(out / (name + end) for end in ends for name in names), facekit / "head_model.pkl")


def _facekit_alone(end: str, out: Path, numbers: Sequence[int]) -> Panel:
    """One camera's pictures of each person."""
    facekit, names = _drawn(out, numbers, lambda name: is_drawn_as(out / (name + end), end), end)
    return Panel(tuple(out / (name + end) for name in names), facekit / "head_model.pkl")


def _drawn(out: Path, numbers: Sequence[int], is_done: Callable[[str], bool], end: str = "") -> tuple[Path, list[str]]:
    """Draw the people that are not there; return the folder of FaceKit and their names."""
    facekit = find_facekit()
    kept = [number for number in numbers if number in KEPT_FOR_CHECKS]
    if kept:
        raise SageError(f"--people: {kept[0]} is one of the numbers 100 to 199, which are kept for checks.")
    names = [person_name(number) for number in numbers]
    to_draw = [number for number, name in zip(numbers, names, strict=True) if not is_done(name)]
    with tracked(to_draw, "Drawing people") as shown:
        for number in shown:
            _draw_apart(facekit, out, number, end)
    return facekit, names


def _draw_apart(facekit: Path, out: Path, number: int, end: str) -> None:
    """Draw a person in a process of its own: the scripts compile kernels and change what Python imports."""
    log = out / f"{person_name(number)}.log"
    module = "sage_ns.bench.facekit_people"
    command = [sys.executable, "-m", module, str(facekit), str(out), str(number), "--parent", str(os.getpid())]
    command += ["--end", end] if end else []
    with log.open("w", encoding="utf-8") as file:
        code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT).returncode
    if code:
        end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES_OF_LOG:])
        raise SageError(f"Person {number} could not be drawn (exit code {code}). The end of {log}:\n{end}")


def _builtin(out: Path, numbers: Sequence[int]) -> Panel:
    hairs = ("short", "long")
    captures = []
    for end, error in (("", 1.0), (EXACT, 0.0)):
        for number in numbers:
            folder = out / f"b{number:03d}{end}"
            settings = SyntheticCapture(seed=number, hair=hairs[number % 2], scale=0.5, tracking_error=error)
            _synthesise(folder, settings)
            captures.append(folder)
    return Panel(tuple(captures), None)


def _synthesise(folder: Path, settings: SyntheticCapture) -> None:
    """Synthesise a capture unless it is there with the same settings."""
    wanted = {name: getattr(settings, name) for name in ("seed", "hair", "scale", "tracking_error")}
    description = folder.with_name(folder.name + ".json")
    if read_json(description) != wanted or not folder.is_dir():
        synthesize_capture(folder, SyntheticCapture(**wanted, overwrite=folder.is_dir()))
        write_json(description, wanted)


PANELS: Mapping[str, Callable[[Path, Sequence[int]], Panel]] = {
    "facekit": _facekit,
    "facekit-turning": partial(_facekit_alone, MONOCULAR),
    "facekit-photo": partial(_facekit_alone, PHOTO),
    "builtin": _builtin,
}
"""Panels by name: random people of FaceKit, which need ``SAGE_SHARED``, before a rig, turning before one camera, or in
one photo, and random built-in people."""
