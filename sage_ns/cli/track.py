"""``sage-track``: your own photo, clip or rig of cameras becomes a capture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from sage_ns.cli.explained import explained
from sage_ns.cli.head_models import head_model_or_builtin
from sage_ns.cli.track_kinds import kind_of, refuse_ignored
from sage_ns.system.console import escape

if TYPE_CHECKING:
    from sage_ns.tracking.track_photo import Networks


@dataclass
class Track:
    """Find the head in a photo, a clip or the pictures of a rig and write a capture, which ns-train trains on.

    A photo becomes a capture for sage-oneshot, a clip of a head that turns before a camera at rest one for
    sage-monocular, a folder with pictures of one moment by several cameras one for sage-multiview. The face is found by
    its landmarks, a head model is fitted to them, and the person is cut out. Look at OUT/tracking.png before you train.
    OUT/tracking.json says what was found and how sure it is.
    """

    input: Annotated[Path, tyro.conf.Positional]
    """picture of one person from the front (JPEG, PNG, WebP, TIFF and others; upright or with an orientation tag), or
    clip of a head that turns (mp4, mov, mkv, webm and others), or folder with one picture of each camera"""
    out: Annotated[Path, tyro.conf.Positional]
    """folder to write"""
    head_model: Path | None = None
    """head model file (FLAME, or any model in its format); default: the one that SAGE_HEAD_MODEL names, else the
    built-in head. It is written into OUT"""
    face: Annotated[str | None, tyro.conf.arg(metavar="largest|N")] = None
    """which face to track if there are several: largest, or its number; 1 is the largest. In a clip, that of the first
    frame with a face; it is followed from there. In pictures of several cameras: largest"""
    mask: Path | None = None
    """mask of the photo, 255 = person; used as it is. Default: the photo's alpha, else a network makes one"""
    background: Path | None = None
    """picture of the same view without the person: what differs from it is the foreground"""
    focal_mm: float | None = None
    """focal length as for 35 mm film; default: the one in the photo's EXIF data, else it is fitted"""
    cameras: Path | None = None
    """file or COLMAP folder that states the cameras of a folder of pictures; default: the one beside the pictures
    (transforms.json, cameras.json, camera_params.json, sparse/0), else COLMAP finds them (extra track)"""
    size: int = 800
    """most pixels of the longer side of the written pictures; larger heads are scaled down"""
    frames: int | None = None
    """most frames of a clip, spread over its time and the sharpest of their neighbours; default: 60"""
    start: float | None = None
    """seconds at which the used part of a clip begins; default: at the beginning"""
    end: float | None = None
    """seconds at which it ends; default: at the end"""
    initialise: Annotated[str, tyro.conf.arg(metavar="landmarks|predictor|tracker")] = "landmarks"
    """where the fit of a photo or a clip begins: at the mean head on the landmarks, at the head that a predictor sees
    (--predictor), or at those that another tracker has found (--tracker-file); to their identity it is then also
    pulled"""
    predictor: Path | None = None
    """file of a predictor for your head model, which sage-prior learn-predictor wrote; for --initialise predictor"""
    tracker_file: Path | None = None
    """what SHeaP, SMIRK, Pixel3DMM or metrical-tracker has found in this photo, or in all frames of this clip: a folder
    of .frame files, or what the network returned (.pt or .npz); for --initialise tracker"""
    keep_heads: bool = False
    """keep the heads of --tracker-file as they are, but for their place; default: the fit begins at them"""
    refine: Annotated[str | None, tyro.conf.arg(metavar="photometric|landmarks")] = None
    """what follows the fit to landmarks. photometric: the turns of a clip are refined until the colours of the skin
    agree in all pictures; the head in a photo is refined until a drawing of a mean person looks like the picture (in
    OUT/tracking.png), which helps people like those of the prior, and can harm others. landmarks: nothing. Default:
    photometric for clips, landmarks for photos"""
    consent: str = ""
    """how you know that the person agrees to an avatar, in your words; kept in OUT/tracking.json"""
    overwrite: bool = False
    """replace an existing folder"""

    def run(self, console: Console) -> None:
        """Track the input; print what was found, its weak spots and the next command."""
        from sage_ns.tracking.write import SHEET

        kind = kind_of(self.input)
        refuse_ignored(kind, self)
        kind.track(self, head_model_or_builtin(self.head_model), _networks(), console)
        console.print(f"look at       {escape(str(self.out / SHEET))}", soft_wrap=True)
        command = f"ns-train {kind.regime} --data {self.out}{kind.arguments(self.out)}"
        console.print(f"next: [bold]{escape(command)}[/bold]", soft_wrap=True)


def _networks() -> Networks:
    from sage_ns.tracking.track_photo import Networks

    return Networks.shipped()


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-track``."""
    console = Console()
    command = tyro.cli(Track, args=arguments)
    with explained(console):
        command.run(console)
