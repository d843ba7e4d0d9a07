"""``sage-track``: your own photo becomes a capture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from sage_ns.cli.explained import explained
from sage_ns.cli.notes import print_notes
from sage_ns.system.console import escape

if TYPE_CHECKING:
    from sage_ns.rig import HeadModel
    from sage_ns.tracking.track_photo import Networks


@dataclass
class Track:
    """Find the head in a photo and write a capture: ns-train sage-oneshot --data OUT trains on it.

    The face is found by its landmarks, a head model is fitted to them, and the person is cut out. Look at
    OUT/tracking.png before you train. OUT/tracking.json says what was found and how sure it is.
    """

    photo: Annotated[Path, tyro.conf.Positional]
    """picture of one person from the front: JPEG, PNG, WebP, TIFF and others; upright or with an orientation tag"""
    out: Annotated[Path, tyro.conf.Positional]
    """folder to write"""
    head_model: Path | None = None
    """head model file (FLAME, or any model in its format); default: the one that SAGE_HEAD_MODEL names, else the
    built-in head. It is written into OUT"""
    face: Annotated[str | None, tyro.conf.arg(metavar="largest|N")] = None
    """which face to track if there are several: largest, or its number; 1 is the largest"""
    mask: Path | None = None
    """mask of the photo, 255 = person; used as it is. Default: the photo's alpha, else a network makes one"""
    background: Path | None = None
    """picture of the same view without the person: what differs from it is the foreground"""
    focal_mm: float | None = None
    """focal length as for 35 mm film; default: the one in the photo's EXIF data, else it is fitted"""
    size: int = 800
    """most pixels of the longer side of the written picture; larger heads are scaled down"""
    refine: Annotated[str, tyro.conf.arg(metavar="photometric|landmarks")] = "landmarks"
    """how the head is found: from its landmarks alone (landmarks), or then refined until a drawing of a mean person
    looks like the picture (photometric; the drawing is in OUT/tracking.png). photometric helps people like those of the
    prior, and can harm others"""
    consent: str = ""
    """how you know that the person agrees to an avatar, in your words; kept in OUT/tracking.json"""
    overwrite: bool = False
    """replace an existing folder"""

    def run(self, console: Console) -> None:
        """Track the photo; print what was found, its weak spots and the next command."""
        from sage_ns.tracking.track_photo import TrackOptions, track_photo
        from sage_ns.tracking.write import SHEET, focal_summary

        options = TrackOptions(
            self.photo, self.out, self.face, self.mask, self.background, self.focal_mm, self.size, self.consent,
            self.overwrite, self.refine,
        )  # fmt: skip
        model = _head_model(self.head_model)
        tracked = track_photo(options, model, _networks(), lambda step: console.print(f"[dim]{step}[/dim]"))
        fit, photo = tracked.fit, tracked.photo
        console.print(f"head model    {escape(model.name)}", soft_wrap=True)
        console.print(
            f"face          {fit.face_width:.0f} px, confidence {tracked.face.confidence:.2f}, turned {fit.turn:.0f} "
            f"degrees; landmarks off by {fit.rms:.1f} px ({fit.disagreement:.1%} of the face)",
            soft_wrap=True,
        )
        console.print(f"focal length  {focal_summary(photo.focal, fit.focal, photo.size)}", soft_wrap=True)
        window = tracked.window
        console.print(f"picture       {window.width} x {window.height} px, foreground by {tracked.way}")
        print_notes(console, tracked.notes)
        console.print(f"look at       {escape(str(self.out / SHEET))}", soft_wrap=True)
        command = f"ns-train sage-oneshot --data {self.out}"
        console.print(f"next: [bold]{escape(command)}[/bold]", soft_wrap=True)


def _head_model(path: Path | None) -> HeadModel:
    from sage_ns.rig import find_head_model, load_head_model
    from sage_ns.rig.head_model import HEAD_MODEL_VARIABLE
    from sage_ns.synthetic.head import builtin_head

    if path is None and not os.environ.get(HEAD_MODEL_VARIABLE):
        return builtin_head()
    return load_head_model(find_head_model(path))


def _networks() -> Networks:
    """Return the networks that the package brings."""
    from sage_ns.tracking.face_landmarker import load_face_landmarker
    from sage_ns.tracking.segmentation import load_segmenter
    from sage_ns.tracking.track_photo import Networks

    segmenter = load_segmenter()
    return Networks(load_face_landmarker(), lambda picture: segmenter(picture).double().numpy())


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-track``."""
    console = Console()
    command = tyro.cli(Track, args=arguments)
    with explained(console):
        command.run(console)
