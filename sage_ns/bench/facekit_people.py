"""Draw one FaceKit person by number, tracked with noise and without; sage-bench runs this module in its own process.

    python -m sage_ns.bench.facekit_people FACEKIT OUT NUMBER [--front 0.5]

FACEKIT is a folder with ``ict_facekit.npz``, ``head_model.pkl`` and the scripts ``people/``, which draw random people
of the MIT-licensed ICT-FaceKit. OUT gets the captures ``pNNN`` and ``pNNN_exact``: the same pictures with the
parameters that a tracker with noise finds, and with those that fit the true vertices best. ``--front SCALE`` draws one
larger picture from the front instead, ``pNNN_front``, with true vertices, for ``sage_ns.bench.tracking``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from sage_ns.bench.side_views import add_side_views
from sage_ns.capture.writer import CameraPicture, write_capture
from sage_ns.errors import CaptureError, show_as_panels
from sage_ns.evaluation.true_surface import TRUTH_FILE, write_truth
from sage_ns.rig import FlameParams, load_head_model
from sage_ns.system.files import read_json, whole_folder, write_json
from sage_ns.system.processes import die_with

EXACT = "_exact"
"""End of the name of a capture that is tracked without noise."""

DONE_FILE = "drawn.json"

SCALE, SUPERSAMPLING, TEXTURE, BANK_FRAMES = 0.25, 3, 512, 120
"""Size of the pictures relative to 550x802 pixels, samples per pixel along each side, pixels along the skin's texture,
frames of the driving motion."""

SCRIPTS = ("people/people.py", "people/capture.py", "ict_facekit.npz", "head_model.pkl")


def missing_parts(facekit: Path, needed: Sequence[str] = SCRIPTS) -> list[Path]:
    """Return the needed scripts and data that a folder of FaceKit's people lacks."""
    return [facekit / name for name in needed if not (facekit / name).is_file()]


def _require_scripts(facekit: Path) -> None:
    missing = missing_parts(facekit)
    if missing:
        found = missing[0].relative_to(facekit)
        raise CaptureError(f"{facekit}: found no {found}; expected the scripts and data of FaceKit's people")


def import_scripts(facekit: Path, *names: str) -> list[Any]:
    """Import scripts of FaceKit's people. They are no package: they import each other by these names."""
    sys.path.insert(0, str(facekit / "people"))
    sys.dont_write_bytecode = True  # the folder is not ours
    return [import_module(name) for name in names]


FRONT = "_front"
"""End of the name of a capture of one picture from the front, with true vertices."""
_FRONT_CAMERA = 8

MONOCULAR, PHOTO = "_mono", "_oneshot"
"""Ends of the names of captures of one camera before which the head turns, and of one picture."""

_FEWEST_TURNS = 1
"""Pictures of the turning head that the scripts draw at least, for panels that do not use them."""

TURNS: Mapping[str, int] = {MONOCULAR: 59, PHOTO: _FEWEST_TURNS}
"""Pictures of the turning head for panels of these captures."""


def person_name(number: int) -> str:
    """Return the name of the capture of a person that is tracked with noise."""
    return f"p{number:03d}"


def settings() -> dict[str, Any]:
    """Return everything that determines the pictures apart from the number."""
    return {"scale": SCALE, "supersampling": SUPERSAMPLING, "texture": TEXTURE, "bank_frames": BANK_FRAMES}


def is_drawn(folder: Path) -> bool:
    """Return whether a capture's folder is complete and was drawn with the current settings."""
    return read_json(folder / DONE_FILE) == settings()


def is_drawn_as(folder: Path, end: str) -> bool:
    """Return whether a capture whose name ends so (`TURNS`) is complete and was drawn with the current settings."""
    return read_json(folder / DONE_FILE) == {**settings(), "turns": TURNS[end]}


def draw_person(facekit: Path, out: Path, number: int, end: str = "") -> None:
    """Draw a person; pictures that exist are not drawn again.

    Args:
        facekit: folder with the scripts and their data.
        out: folder that gets both captures.
        number: number of the person.
        end: of the name of a capture of one camera that is wanted instead of those of many, see `TURNS`: it gets the
            pictures of the other cameras for validation.

    Raises:
        CaptureError: the folder lacks a script or its data.
    """
    _require_scripts(facekit)
    tool, people = import_scripts(facekit, "capture", "people")
    name = people.register(number)
    options = ["--scale", SCALE, "--ss", SUPERSAMPLING, "--texture", TEXTURE, "--bank-frames", BANK_FRAMES]
    options += ["--mono-frames", TURNS.get(end, _FEWEST_TURNS)]
    data = [facekit / "ict_facekit.npz", facekit / "head_model.pkl"]
    sys.argv = list(map(str, ["capture.py", *data, out, name, *options]))
    tool.main()
    if end:
        add_side_views(out / (name + end), out / name)
        write_json(out / (name + end) / DONE_FILE, {**settings(), "turns": TURNS[end]})
        return
    _write_exact(tool, data, out, name)
    for each in (name, name + EXACT):
        write_json(out / each / DONE_FILE, settings())


def draw_front(facekit: Path, out: Path, number: int, scale: float) -> Path:
    """Draw one picture of a person at rest from the front, unless it is there, tracked without noise.

    The true surface of the capture consists of the true places of the head model's vertices.

    Args:
        facekit: folder with the scripts and their data.
        out: folder that gets the capture.
        number: number of the person.
        scale: size of the picture, relative to 550x802 pixels.

    Returns:
        the folder of the capture.

    Raises:
        CaptureError: the folder lacks a script or its data, or the scale is out of range.
    """
    if not 0.1 <= scale <= 2:
        raise CaptureError(f"--front is {scale:g}; give 0.1 to 2, the size relative to 550x802 pixels")
    _require_scripts(facekit)
    folder, wanted = out / (person_name(number) + FRONT), {**settings(), "scale": scale}
    if read_json(folder / DONE_FILE) == wanted:
        return folder
    tool, people, subjects, motion, tracking, render = import_scripts(
        facekit, "capture", "people", "subject", "motion", "tracking", "render"
    )
    fk, model = tool.FaceKit(facekit / "ict_facekit.npz"), tool.HeadModel(facekit / "head_model.pkl")
    subject = subjects.Subject(fk, people.register(number), tex=TEXTURE, verbose=False)
    frame = motion.neutral(fk)
    params, _, _ = tool.track(fk, model, subject, [(0, frame, (), "")], np.random.default_rng(0), noise=False)
    camera = tool.C.cameras(scale)[_FRONT_CAMERA]
    color, alpha = render.render(subject.scene(frame), camera, SUPERSAMPLING)
    intrinsics = np.array([[camera["fl_x"], 0, camera["cx"]], [0, camera["fl_y"], camera["cy"]], [0, 0, 1.0]])
    picture = CameraPicture(0, _FRONT_CAMERA, np.array(camera["transform_matrix"]), intrinsics, color, alpha)
    rig = load_head_model(facekit / "head_model.pkl")
    face = rig.regions.triangle_mask("face", rig.triangles)
    vertices = tracking.correspond(model, subject.vertices(frame)[0])
    with whole_folder(folder) as unfinished:
        tool.save_npz(unfinished / "exact.npz", params[0], model)
        exact = FlameParams.load(unfinished / "exact.npz")
        write_capture(unfinished, [picture], exact, overwrite=True)
        write_truth(unfinished / TRUTH_FILE, [0], vertices[None], rig.triangles.numpy(), face.numpy())
        write_json(unfinished / DONE_FILE, wanted)
    return folder


def _write_exact(tool: Any, data: list[Path], out: Path, name: str) -> None:
    """Write the capture without noise; its transforms refer to the pictures of the other one."""
    fk, model = tool.FaceKit(data[0]), tool.HeadModel(data[1])
    jobs = [job for job in tool.plan(fk, name, 1) if not job[3]]
    shape = tool.SubjectShape(fk, tool.SEEDS[name])

    class Subject:
        vertices = staticmethod(shape.vertices)

    params, fitted, _ = tool.track(fk, model, Subject, jobs, np.random.default_rng(0), noise=False)
    folder = out / (name + EXACT)
    for timestep, values in params.items():
        tool.save_npz(folder / f"flame_param/{timestep:05d}.npz", values, model)
    canonical = tool.T.blank(model)
    canonical["shape"], canonical["jaw_pose"] = params[0]["shape"], np.array([0.3, 0.0, 0.0])
    tool.save_npz(folder / "canonical_flame_param.npz", canonical, model)
    for path in sorted((out / name).glob("transforms*.json")):
        content = read_json(path)
        for frame in content["frames"]:
            for key in ("file_path", "fg_mask_path"):
                frame[key] = f"../{name}/{frame[key]}"
        write_json(folder / path.name, content)
    (folder / "expressions.npz").write_bytes((out / name / "expressions.npz").read_bytes())
    write_json(folder / "tracking_report.json", {"unit": "mm: mean, rms, p95", "fit": fitted.mean(0).tolist()})


def main(
    facekit: Annotated[Path, tyro.conf.Positional],
    out: Annotated[Path, tyro.conf.Positional],
    number: Annotated[int, tyro.conf.Positional],
    end: str = "",
    parent: int | None = None,
    front: float | None = None,
) -> None:
    """Draw one person.

    Args:
        facekit: folder with the scripts and data of FaceKit's people.
        out: folder that gets the captures.
        number: number of the person.
        end: of the name of a capture of one camera that is wanted: _mono or _oneshot; default: those of many cameras.
        parent: number of the process that started this one, and with which this one ends.
        front: draw one picture from the front alone, at this size relative to 550x802 pixels.
    """
    show_as_panels()
    if parent is not None:
        die_with(parent)
    if front is None:
        draw_person(facekit, out, number, end)
    else:
        draw_front(facekit, out, number, front)


if __name__ == "__main__":
    tyro.cli(main)
