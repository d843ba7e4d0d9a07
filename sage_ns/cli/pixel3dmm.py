"""``sage-capture pixel3dmm``: what Pixel3DMM has tracked becomes a capture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from sage_ns.cli.notes import print_notes
from sage_ns.system.console import escape


@dataclass
class Pixel3dmm:
    """Convert what Pixel3DMM has tracked to a capture for sage-monocular: one camera, and a head that moves.

    Its pictures are crops of 512 pixels with hard masks; sage-track --initialise tracker works on your own pictures.
    """

    tracking: Annotated[Path, tyro.conf.Positional]
    """folder of Pixel3DMM's tracking: TRACKING_OUTPUT/VIDEO_nV1_..., with checkpoint/*.frame"""
    preprocessed: Annotated[Path, tyro.conf.Positional]
    """folder of the same video: PREPROCESSED_DATA/VIDEO, with cropped and seg_og"""
    out: Annotated[Path, tyro.conf.Positional]
    """folder to write"""
    head_model: Path | None = None
    """FLAME that Pixel3DMM has fitted: generic_model.pkl of FLAME 2020, or flame2023_no_jaw.pkl with use_flame2023;
    default: the one found near OUT or named by SAGE_HEAD_MODEL. It is written into OUT"""
    eyelids: Path | None = None
    """folder with Pixel3DMM's l_eyelid.npy and r_eyelid.npy (src/pixel3dmm/tracking/flame/blendshapes): keeps blinks,
    as two more expression directions of the head model; default: blinks are lost"""
    test_frames: int | None = None
    """use this number of last frames as test frames; default: none"""
    overwrite: bool = False
    """replace an existing folder"""

    def run(self, console: Console) -> None:
        """Convert the folder; print the licence of the program and the next command."""
        from sage_ns.capture.pixel3dmm import convert_pixel3dmm

        converted = convert_pixel3dmm(
            *(self.tracking, self.preprocessed, self.out, self.overwrite),
            *(self.eyelids, self.head_model, self.test_frames),
        )
        print_notes(console, converted.notes)
        console.print(f"written     {escape(str(converted.folder))}", soft_wrap=True)
        command = f"ns-train sage-monocular --data {self.out}"
        console.print(f"next: [bold]{escape(command)}[/bold]", soft_wrap=True)
