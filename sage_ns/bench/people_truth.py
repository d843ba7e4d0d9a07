"""Truth of cross-reenactment for captures of the people tool, which draws scan-based people under any controls.

    python -m sage_ns.bench.people_truth CAPTURE [--out CAPTURE_cross] [--moments 12] [--scale 0.25]

The tool is optional; it lies in ``$SAGE_SHARED/facekit/people``. CAPTURE is a folder that it has made: its name is that
of the person (``fk01``, ``p001``; ``p001_exact`` = tracked without noise, and so is the driver then). This module asks
it for pictures of that person under the controls of the tool's driver, and for the driver's rig parameters as tracked
with the driver's own identity, and writes both in the layout that ``sage-bench --suite cross`` reads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from PIL import Image

from sage_ns.bench.facekit_people import EXACT, SCRIPTS, import_scripts, missing_parts
from sage_ns.capture.writer import refuse_used_folder
from sage_ns.errors import SageError, show_as_panels
from sage_ns.system.files import whole_folder
from sage_ns.system.progress import tracked

DRIVER = "drv"
"""Name of the tool's driver."""
CAMERAS = (8, 12)
"""Cameras of the truth: the front, and 45 degrees to the person's left."""
_LENGTH = 60
"""Moments of the driver's performance in the tool's captures; the truth takes some of them, evenly spaced."""
_FITS_OF_SHAPE = 3
"""Moments that the driver's identity is fitted to, as in the tool."""


@dataclass(frozen=True)
class People:
    """The modules of the people tool, and its data."""

    modules: dict[str, Any]
    facekit: Any
    rig: Any

    @classmethod
    def load(cls, shared: Path | None) -> People:
        """Import the tool.

        Args:
            shared: folder that contains ``facekit/people``; None = ``$SAGE_SHARED``.

        Raises:
            SageError: the tool is not there.
        """
        root = shared or (Path(os.environ["SAGE_SHARED"]) if "SAGE_SHARED" in os.environ else None)
        if root is None:
            raise SageError(
                "The people tool is optional and was not found: set SAGE_SHARED to the folder that holds it."
            )
        folder = root.expanduser().absolute() / "facekit"
        missing = missing_parts(folder, SCRIPTS[1:])
        if missing:
            raise SageError(
                f"The people tool is not complete: {missing[0]} does not exist. Set SAGE_SHARED to its folder."
            )
        names = ("cameras", "capture", "facekit", "head_model", "motion", "people", "render", "subject", "tracking")
        modules: dict[str, Any] = dict(zip(names, import_scripts(folder, *names), strict=True))
        facekit = modules["facekit"].FaceKit(str(folder / "ict_facekit.npz"))
        return cls(modules, facekit, modules["head_model"].HeadModel(str(folder / "head_model.pkl")))

    def seed(self, person: str) -> int:
        """Return the tool's seed of a person; the name of a random one contains its number.

        Raises:
            SageError: the tool knows no such person.
        """
        seeds = self.modules["subject"].SEEDS
        number = re.fullmatch(r"p(\d{3,})", person)
        if person not in seeds and number:
            self.modules["people"].register(int(number.group(1)))
        if person not in seeds or person == DRIVER:
            known = ", ".join(sorted(set(seeds) - {DRIVER}))
            raise SageError(f"person: the people tool has no '{person}'. Give one of {known}, or pNNN with a number.")
        return seeds[person]

    def frames(self, person: str, count: int) -> list[Any]:
        """Return controls: the neutral ones, then ``count`` moments of the driver's performance for this person."""
        motion = self.modules["motion"]
        every = motion.bank(self.facekit, _LENGTH, 77 + self.seed(person))
        return [motion.neutral(self.facekit), *(every[index * _LENGTH // count] for index in range(count))]

    def tracked_driver(self, frames: Sequence[Any], seed: int, noise: bool) -> list[dict[str, np.ndarray]]:
        """Return rig parameters of the driver under these controls, with the tool's tracking noise or without."""
        tracking, subject = self.modules["tracking"], self.modules["subject"]
        shape_of = subject.SubjectShape(self.facekit, subject.SEEDS[DRIVER])
        truth = [tracking.correspond(self.rig, shape_of.vertices(frame)[0]) for frame in frames]
        fitted = [truth[index * len(truth) // _FITS_OF_SHAPE] for index in range(_FITS_OF_SHAPE)]
        shape, _ = tracking.fit_shape(self.rig, fitted, rounds=3)
        params = tracking.blank(self.rig)
        params["shape"] = shape.copy()
        rng = np.random.default_rng(seed)
        found = []
        with tracked(truth, "Tracking the driver") as shown:
            for points in shown:
                params = tracking.fit_frame(self.rig, points, params)
                found.append(tracking.perturb(self.rig, params, rng) if noise else params)
        return found


def write_people_truth(people: People, person: str, out: Path, moments: int, scale: float, texture: int = 1024) -> None:
    """Write the truth of one person's cross-reenactment.

    Args:
        people: the tool.
        person: name of the person; with the ending ``_exact``, the driver is tracked without noise.
        out: folder to create.
        moments: moments of the driver, 1 to 60, besides the neutral one.
        scale: size of the pictures, relative to 550x802 pixels.
        texture: pixels along a side of the skin's textures.

    Raises:
        SageError: an argument is out of range, the person is unknown, or the folder is in use; nothing was written.
    """
    if not 1 <= moments <= _LENGTH:
        raise SageError(f"moments is {moments}; give 1 to {_LENGTH}.")
    if not 0 < scale <= 1:
        raise SageError(f"scale is {scale:g}; give more than 0 and at most 1.")
    refuse_used_folder(out, overwrite=False)
    name = person.removesuffix(EXACT)
    seed = people.seed(name)
    frames = people.frames(name, moments)
    writer, render = people.modules["capture"], people.modules["render"]
    cameras = people.modules["cameras"].cameras(scale)
    with whole_folder(out) as folder:
        for timestep, params in enumerate(people.tracked_driver(frames, seed + 2000, person == name)):
            writer.save_npz(folder / f"flame_param/{timestep:05d}.npz", params, people.rig)
        entries = [writer.entry(timestep, cameras[camera]) for timestep in range(len(frames)) for camera in CAMERAS]
        writer.write_json(folder / "transforms.json", entries, cameras[CAMERAS[0]])
        subject = people.modules["subject"].Subject(people.facekit, name, tex=texture, verbose=False)
        for kind in ("images", "fg_masks"):
            (folder / kind).mkdir()
        with tracked(frames, f"Drawing {person}") as shown:
            for timestep, frame in enumerate(shown):
                scene = subject.scene(frame)
                for camera in CAMERAS:
                    color, alpha = render.render(scene, cameras[camera], 3)
                    entry = writer.entry(timestep, cameras[camera])
                    Image.fromarray(color).save(folder / entry["file_path"], quality=95)
                    Image.fromarray(alpha).save(folder / entry["fg_mask_path"], optimize=True)


def main(
    capture: Annotated[Path, tyro.conf.Positional],
    out: Path | None = None,
    moments: int = 12,
    scale: float = 0.25,
    shared: Path | None = None,
) -> None:
    """Write the truth of cross-reenactment for a capture of the people tool.

    Args:
        capture: folder of the capture; its name is the person's.
        out: folder to write; default: CAPTURE_cross beside the capture.
        moments: moments of the driver.
        scale: size of the pictures, relative to 550x802 pixels.
        shared: folder that contains facekit/people; default: $SAGE_SHARED.
    """
    capture = capture.expanduser().absolute()
    show_as_panels()
    destination = out or capture.with_name(f"{capture.name}_cross")
    write_people_truth(People.load(shared), capture.name, destination, moments, scale)


if __name__ == "__main__":
    tyro.cli(main)
