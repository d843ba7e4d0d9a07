"""``sage-render``: render a video of an avatar that a driver's motion moves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console

from sage_ns.cli.explained import explained
from sage_ns.cli.notes import print_notes
from sage_ns.cli.options import MOTION_FILES
from sage_ns.errors import SageError
from sage_ns.system.console import escape

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion
    from sage_ns.video.footage import Footage


@dataclass
class Render:
    """Render a video of an avatar that a driver's motion moves.

    Only pose and expression of the driver are used; the identity of the avatar never changes. The head keeps its place
    and direction unless --follow-head is given.
    """

    avatar: Annotated[Path, tyro.conf.arg(aliases=("--load-config",))]
    """config.yml of a training run, or an avatar file (.npz)"""
    output: Path
    """file to write (.mp4, .gif, .mov or .webm), or a folder of PNGs if the name has no ending"""
    motion: Annotated[
        Path | None,
        tyro.conf.arg(help=f"motion of the driver: {MOTION_FILES}; default: the motion of the avatar's own capture"),
    ] = None
    camera: str = "frontal"
    """frontal, orbit, sway, capture:INDEX (the camera with that index in the avatar's run or in --capture), or a camera
    path of nerfstudio's viewer (.json)"""
    capture: Path | None = None
    """capture folder that contains the camera capture:INDEX; default: the avatar's run"""
    width: int | None = None
    """width of the video in pixels; default: in proportion to --height, else the camera's, else 512"""
    height: int | None = None
    """height of the video in pixels; default: in proportion to --width, else the camera's, else 512"""
    fps: float | None = None
    """frames per second of the video; default: those of the camera path, else those of the motion"""
    motion_fps: float | None = None
    """moments per second of the motion; default: the frames per second of a video beside it, else 25"""
    start: int = 0
    """first moment of the motion to render, counted from 0"""
    end: int | None = None
    """moment of the motion to stop before, counted from 0; default: the end of the motion"""
    follow_head: bool = False
    """also apply the driver's head rotation, and its head translation since the first rendered moment"""
    relative: bool = False
    """transfer the difference to the driver's neutral moment, for trackers that put identity into the expression"""
    neutral_frame: int | None = None
    """neutral moment of the driver for --relative, counted from 0; default: the one with the least expression"""
    side_by_side: bool = False
    """show the driver's pictures to the left of the avatar"""
    source: Path | None = None
    """the driver's pictures for --side-by-side: a video, or a folder with one picture per moment; default: those beside
    the motion"""
    audio: Path | None = None
    """sound file of the video; default: CLIP.wav or CLIP.mp4 if the motion is a folder CLIP"""
    background: str = "white"
    """background: a colour name, #rrggbb, or alpha = transparent (.mov, .webm, PNGs)"""
    output_name: Literal["rgb", "normal", "depth", "alpha"] = "rgb"
    """picture to render: rgb = colour, normal = normals in world axes, depth (near is bright), alpha = coverage"""
    overwrite: bool = False
    """replace an existing output"""

    def run(self, console: Console) -> None:
        """Find the files and cameras that the options name, render, and print a summary."""
        from sage_ns.plugin.runs import find_view_of, open_avatar, require_avatar
        from sage_ns.tracking.clip_motion import load_driver
        from sage_ns.video.reenact import reenact

        self._check_options()
        require_avatar(self.avatar)
        view = find_view_of(self.avatar, self.camera, self.capture)
        load = cache(lambda: open_avatar(self.avatar))
        motion = None if self.motion is None else load_driver(self.motion, lambda: load().rig.head_model)
        made = reenact(
            load,
            motion,
            view,
            self.output,
            follow_head=self.follow_head,
            relative=self.relative,
            neutral_frame=self.neutral_frame,
            start=self.start,
            end=self.end,
            motion_fps=self.motion_fps,
            fps=self.fps,
            width=self.width,
            height=self.height,
            picture=self.output_name,
            background=self.background,
            footage=self._footage(motion),
            audio=self._audio(),
            overwrite=self.overwrite,
            on_note=lambda note: print_notes(console, [note]),
        )
        took = made.writing_seconds
        console.print(
            f"{made.num_frames} frames ({made.seconds:.1f} s at {made.fps:g} per second) in {took:.1f} s, "
            f"{made.num_frames / took:.1f} frames/s  {escape(str(made.path))}",
            soft_wrap=True,
        )

    def _check_options(self) -> None:
        needed = (
            ("--neutral-frame", self.neutral_frame is not None, "--relative", self.relative),
            ("--source", self.source is not None, "--side-by-side", self.side_by_side),
            ("--capture", self.capture is not None, "--camera capture:INDEX", self.camera.startswith("capture:")),
        )
        for option, given, other, there in needed:
            if given and not there:
                raise SageError(f"{option} has no effect without {other}: give both or neither")
        if self.side_by_side and self.source is None and self.motion is None:
            raise SageError("--side-by-side: an avatar keeps no pictures; give --motion or --source")

    def _footage(self, motion: Motion | None) -> Footage | Path | None:
        from sage_ns.video.footage import find_footage
        from sage_ns.video.views import camera_index

        if not self.side_by_side or self.source is not None:
            return self.source
        assert self.motion is not None and motion is not None
        return find_footage(self.motion, motion.timesteps.tolist(), camera_index(self.camera))

    def _audio(self) -> Path | None:
        from sage_ns.video.footage import find_sound
        from sage_ns.video.writer import carries_sound

        if self.audio is None and self.motion is not None and carries_sound(self.output):
            return find_sound(self.motion)
        return self.audio


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-render``."""
    console = Console()
    command = tyro.cli(Render, args=arguments)
    with explained(console):
        command.run(console)
