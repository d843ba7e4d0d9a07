"""``sage-render``: an avatar that does what a driver did, as a video."""

from __future__ import annotations

from dataclasses import dataclass
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
    """Render an avatar that does what a driver did.

    Only pose and expression of the driver are used; who the avatar is never changes. The head stays where it is unless
    --follow-head is given.
    """

    avatar: Annotated[Path, tyro.conf.arg(aliases=("--load-config",))]
    """config.yml of a training run, or an avatar file (.npz)"""
    output: Path
    """what to write: .mp4, .gif, .mov, .webm, or a folder of PNGs if the name has no ending"""
    motion: Annotated[
        Path | None,
        tyro.conf.arg(help=f"what drives: {MOTION_FILES}; by default the motion that the avatar was captured with"),
    ] = None
    camera: str = "frontal"
    """frontal, orbit, sway, capture:INDEX (a camera of the avatar's run, or of --capture), or a camera path of
    nerfstudio's viewer (.json)"""
    capture: Path | None = None
    """capture folder that capture:INDEX is a camera of"""
    width: int | None = None
    """pixels; by default the camera's, else 512"""
    height: int | None = None
    """pixels; by default the camera's, else 512"""
    fps: float | None = None
    """frames per second of the video; by default the motion's"""
    motion_fps: float | None = None
    """moments per second of the motion; by default the frames per second of a video beside it, else 25"""
    start: int = 0
    """first moment of the motion to show, counted from 0"""
    end: int | None = None
    """moment of the motion to stop before; by default all are shown"""
    follow_head: bool = False
    """also take the driver's head rotation, and its movement since the first moment shown"""
    relative: bool = False
    """transfer what the driver does away from its neutral moment: for trackers that put identity into the expression"""
    neutral_frame: int | None = None
    """neutral moment of the driver for --relative; by default the one with the least expression"""
    side_by_side: bool = False
    """show the source pictures to the left"""
    source: Path | None = None
    """source pictures for --side-by-side: a video, or a folder with one picture per moment; by default those beside the
    motion"""
    audio: Path | None = None
    """sound of the video; by default <clip>.wav or <clip>.mp4 of a motion folder <clip>"""
    background: str = "white"
    """white, black, another name, #rrggbb, or alpha: transparent (.mov, .webm, PNGs)"""
    output_name: Literal["rgb", "normal", "depth", "alpha"] = "rgb"
    """what to show: colour, normals (world axes), depth (near is bright) or coverage"""
    overwrite: bool = False
    """replace an existing output"""

    def run(self, console: Console) -> None:
        """Find what the options name, render, and report what was written."""
        from sage_ns.motion.files import load_motion
        from sage_ns.plugin.runs import find_view_of, open_avatar, require_avatar
        from sage_ns.video.reenact import reenact

        self._check_options()
        require_avatar(self.avatar)
        view = find_view_of(self.avatar, self.camera, self.capture)
        motion = None if self.motion is None else load_motion(self.motion)
        made = reenact(
            lambda: open_avatar(self.avatar),
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
            tell=lambda note: print_notes(console, [note]),
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
                raise SageError(f"{option} means nothing without {other}")
        if self.side_by_side and self.source is None and self.motion is None:
            raise SageError("--side-by-side: an avatar keeps no pictures; give --motion, or --source")

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
