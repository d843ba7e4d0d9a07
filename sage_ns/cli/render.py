"""``sage-render``: an avatar that does what somebody did, as a video."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import tyro
from rich.console import Console
from rich.markup import escape

from sage_ns.cli.explained import explained
from sage_ns.cli.options import MOTION_FILES
from sage_ns.errors import FlameParamsError, SageError

if TYPE_CHECKING:
    from torch import Tensor

    from sage_ns.avatar.avatar import Avatar
    from sage_ns.motion.motion import Motion
    from sage_ns.rig import FlameParams
    from sage_ns.video.footage import Footage
    from sage_ns.video.frames import Timeline
    from sage_ns.video.writer import Sound

Item = TypeVar("Item")
DEFAULT_RATE = 25.0
"""Moments per second of a motion, where nothing says."""


@dataclass
class Render:
    """Render an avatar that does what somebody did.

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
    """replace what is there already"""

    def run(self, console: Console) -> None:
        """Check everything, render, and say what is there."""
        from sage_ns.video.frames import cameras_for, cores_for, draw_frames, find_view, picture_size, timeline
        from sage_ns.video.writer import needs_even_size, write_pictures

        self._check_options()
        color = self._background()
        view = find_view(self.camera, self.capture, self.avatar)
        driver = self._driver()
        footage, sound = self._footage(driver), self._sound_file()
        times = timeline(driver.sequences[self.start : self.end], self._motion_rate(), self.fps, view)
        driven, notes = self._transferred(driver)
        audible, sound_notes = self._sound(sound, driver, times)
        for note in (*driver.notes, *notes, *sound_notes):
            console.print(f"[yellow]{escape(note)}[/yellow]", soft_wrap=True)

        avatar = self._avatar
        size = picture_size(view, self.width, self.height, needs_even_size(self.output, self._transparent))
        vectors = avatar.fit(driven.interpolate(times.positions))
        pictures = draw_frames(avatar, vectors, cameras_for(view, avatar, size, times), self.output_name, color)
        if footage is not None:
            pictures = self._beside(pictures, footage, times)
        began = time.perf_counter()
        with cores_for(avatar):
            write_pictures(self.output, _tracked(console, pictures, times.num_frames), times.fps, audible)
        took = time.perf_counter() - began
        console.print(
            f"{times.num_frames} frames ({times.seconds:.1f} s at {times.fps:g} per second) in {took:.1f} s, "
            f"{times.num_frames / took:.1f} frames/s  {escape(str(self.output))}",
            soft_wrap=True,
        )

    # ---- what can be checked before anything is loaded -----------------------------------------------------------

    @property
    def _transparent(self) -> bool:
        return self.background == "alpha"

    def _check_options(self) -> None:
        from sage_ns.plugin.runs import require_avatar
        from sage_ns.video.writer import check_writable, needs_even_size

        check_writable(self.output, self._transparent, self.overwrite)
        even = needs_even_size(self.output, self._transparent)
        for name, value, least in (("width", self.width, 1), ("height", self.height, 1), ("start", self.start, 0)):
            if value is not None and value < least:
                raise SageError(f"--{name} {value}: expected at least {least}")
            if value is not None and name != "start" and even and value % 2:
                raise SageError(f"--{name} {value}: {self.output.suffix} files need even numbers; give {value + 1}")
        for name, rate in (("fps", self.fps), ("motion-fps", self.motion_fps)):
            if rate is not None and not 0 < rate <= 1000:
                raise SageError(f"--{name} {rate:g}: expected frames per second, more than 0")
        needed = (
            ("--neutral-frame", self.neutral_frame is not None, "--relative", self.relative),
            ("--source", self.source is not None, "--side-by-side", self.side_by_side),
            ("--capture", self.capture is not None, "--camera capture:INDEX", self.camera.startswith("capture:")),
        )
        for option, given, other, there in needed:
            if given and not there:
                raise SageError(f"{option} means nothing without {other}")
        require_avatar(self.avatar)

    def _background(self) -> Tensor | None:
        from sage_ns.capture.images import background_color

        return None if self._transparent else background_color(self.background)

    def _motion_rate(self) -> float:
        from sage_ns.video.footage import find_frame_rate

        beside = find_frame_rate(self.motion) if self.motion is not None and self.motion_fps is None else None
        return self.motion_fps or beside or DEFAULT_RATE

    # ---- the driver ----------------------------------------------------------------------------------------------

    @cached_property
    def _avatar(self) -> Avatar:
        from sage_ns.plugin.runs import load_avatar

        return load_avatar(self.avatar)

    def _driver(self) -> Motion:
        """Who drives; the avatar is only loaded for this where it has to drive itself."""
        from sage_ns.motion.files import load_motion

        driver = load_motion(self.motion) if self.motion is not None else self._avatar.motion.recorded()
        num_rows = driver.params.num_timesteps
        end = num_rows if self.end is None else self.end
        if not self.start < end <= num_rows:
            raise SageError(f"--start {self.start} --end {end}: {driver.source} has the moments 0 to {num_rows - 1}")
        if self.neutral_frame is not None and not 0 <= self.neutral_frame < num_rows:
            raise SageError(
                f"--neutral-frame {self.neutral_frame}: {driver.source} has the moments 0 to {num_rows - 1}"
            )
        return driver

    def _transferred(self, driver: Motion) -> tuple[FlameParams, list[str]]:
        """The moments to show as the avatar's own, and what a user should know."""
        from sage_ns.motion.transfer import absolute_transfer, most_neutral_row, relative_transfer, within_limits
        from sage_ns.rig import FlameParams

        avatar, shown = self._avatar, slice(self.start, self.end)
        try:
            params = FlameParams.from_motion_vector(avatar.fit(driver.params).cpu())
        except FlameParamsError as error:
            raise FlameParamsError(f"{driver.source}: {error}") from error
        if not self.relative:
            canonical = FlameParams.from_motion_vector(avatar.motion.canonical()[None].cpu())
            return absolute_transfer(params[shown], canonical, self.follow_head), []
        model = avatar.rig.head_model.to("cpu")
        row = most_neutral_row(params, model) if self.neutral_frame is None else self.neutral_frame
        moved = relative_transfer(params[shown], params[row], avatar.neutral().to("cpu"), self.follow_head)
        moved, cut = within_limits(moved, model)
        notes = [f"Neutral moment of the driver: {row}"] if self.neutral_frame is None else []
        return moved, notes + [f"Clamped {each}" for each in cut]

    # ---- pictures and sound of the driver ------------------------------------------------------------------------

    def _footage(self, driver: Motion) -> Footage | None:
        from sage_ns.video.footage import find_footage, given_footage

        if not self.side_by_side:
            return None
        if self.source is not None:
            return given_footage(self.source, driver.params.num_timesteps)
        if self.motion is None:
            raise SageError("--side-by-side: an avatar keeps no pictures; give --motion, or --source")
        kind, _, index = self.camera.partition(":")
        return find_footage(self.motion, driver.timesteps.tolist(), int(index) if kind == "capture" else None)

    def _sound_file(self) -> Path | None:
        from sage_ns.video.ffmpeg import inspect_media
        from sage_ns.video.footage import find_sound
        from sage_ns.video.writer import carries_sound

        if self.audio is None:
            return find_sound(self.motion) if self.motion is not None and carries_sound(self.output) else None
        if not carries_sound(self.output):
            raise SageError(f"--audio: {self.output} is of a kind that has no sound")
        if not inspect_media(self.audio).sound:
            raise SageError(f"--audio {self.audio}: there is no sound in this file")
        return self.audio

    def _sound(self, path: Path | None, driver: Motion, times: Timeline) -> tuple[Sound | None, list[str]]:
        """The part of a sound file that is heard."""
        from sage_ns.video.ffmpeg import inspect_media
        from sage_ns.video.writer import Sound

        if path is None:
            return None, []
        if not times.plays:
            return None, ["No sound: the camera path has times of its own"]
        notes = []
        heard, seen = inspect_media(path).seconds, driver.params.num_timesteps / times.motion_fps
        if heard is not None and abs(heard - seen) > max(0.5, 0.05 * seen):
            notes = [
                f"{path} lasts {heard:.1f} s, the motion {seen:.1f} s at {times.motion_fps:g} moments per second: "
                "if they drift apart, give --motion-fps"
            ]
        return Sound(path, self.start / times.motion_fps, times.seconds), notes

    def _beside(self, pictures: Iterable[Tensor], footage: Footage, times: Timeline) -> Iterator[Tensor]:
        from sage_ns.video.writer import beside

        for position, picture in zip((self.start + times.positions).tolist(), pictures, strict=True):
            yield beside(footage.at(position, position / times.motion_fps), picture)


def _tracked(console: Console, items: Iterable[Item], total: int) -> Iterator[Item]:
    """The items, with a bar that shows frames per second and goes away when all are done."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} frames/s" if task.speed else "")

    columns = (TextColumn("Rendering"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(items, total=total)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-render``."""
    console = Console()
    command = tyro.cli(Render, args=arguments)
    with explained(console):
        command.run(console)
