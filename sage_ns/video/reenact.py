"""Reenactment: an avatar that moves as a motion specifies, as a video file or as pictures that are drawn on access.

reenact(avatar, "speech.npz", "sway", "speech.mp4", relative=True)
for picture in reenact(avatar, params, camera).frames: ...
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.look import Look
from sage_ns.system.progress import tracked
from sage_ns.video.driving import (
    AnyMotion,
    as_motion,
    check_neutral_frame,
    frame_rate,
    shown_rows,
    transferred,
)
from sage_ns.video.footage import Footage, given_footage
from sage_ns.video.frames import Frames, PictureName, SideBySide, check_picture, cores_for
from sage_ns.video.sound import check_audio, sound_part
from sage_ns.video.target import Target, check_rates
from sage_ns.video.timeline import timeline
from sage_ns.video.views import View, cameras_for, find_view, picture_size
from sage_ns.video.writer import Sound, write_pictures


@dataclass(frozen=True, eq=False)
class Reenactment:
    """Result of `reenact`."""

    frames: Frames | SideBySide
    """The pictures; every access draws a picture."""
    fps: float
    """Frames per second."""
    notes: tuple[str, ...]
    """Notes on motion and sound for the user."""
    path: Path | None = None
    """The written file or folder; None without an output."""
    writing_seconds: float = 0.0
    """Time for drawing and writing."""

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.frames)

    @property
    def seconds(self) -> float:
        """Duration of the video."""
        return self.num_frames / self.fps


def reenact(
    avatar: Avatar | Callable[[], Avatar],
    motion: AnyMotion | None = None,
    view: View | str = "frontal",
    output: Path | str | None = None,
    *,
    follow_head: bool = False,
    relative: bool = False,
    neutral_frame: int | None = None,
    start: int = 0,
    end: int | None = None,
    motion_fps: float | None = None,
    fps: float | None = None,
    width: int | None = None,
    height: int | None = None,
    picture: PictureName = "rgb",
    background: Float[Tensor, "3"] | str | None = None,
    look: Look | None = None,
    footage: Footage | Path | None = None,
    audio: Path | None = None,
    overwrite: bool = False,
    on_note: Callable[[str], object] = lambda note: None,
) -> Reenactment:
    """Make a video of an avatar with the motion of a driver; the avatar's identity does not change.

    Args:
        avatar: the avatar, or a function that loads it; it is called after all checks that need no avatar.
        motion: loaded motion, parameters, or a path that `load_motion` reads; None: the avatar's own motion.
        view: frontal, orbit, sway, a camera, a camera path, or the file of a camera path (.json).
        output: .mp4, .gif, .mov, .webm, or a folder of PNGs if the name has no suffix; None writes nothing.
        follow_head: also transfer the driver's head rotation, and its movement since the first moment shown.
        relative, neutral_frame: transfer the difference to this moment of the driver (None: the most neutral one).
        start, end: first row of the motion, and the row after the last one (None: all rows).
        motion_fps: rows of the motion per second; None: the motion's own, or those of a video beside it, or 25.
        fps: frames per second; None: those of a camera path with times, or else the motion's.
        width, height: pixels; None: the camera's, or else 512.
        picture: rgb, normal (world axes), depth (near is bright) or alpha (coverage).
        background: RGB 0..1, name of a colour, or alpha for a transparent background. None: the avatar's own.
        look: look of the avatar, for instance its supersampling; None: its own look.
        footage: pictures to show to the left; a path is a video, or a folder with one picture per row of the motion.
        audio: sound that was recorded with the motion.
        overwrite: replace an existing output.
        on_note: called with every note before the first frame is drawn; the result also contains the notes.

    Raises:
        OptionError: the value of an option cannot be used.
        SageError: a file cannot be read or written, or the motion does not fit the avatar.
    """
    target = Target.of(output, background, overwrite)
    target.check_size(width=width, height=height)
    check_rates(motion_fps=motion_fps, fps=fps)
    check_picture(picture)
    view = find_view(view) if isinstance(view, str) else view
    load = cache(lambda: avatar if isinstance(avatar, Avatar) else avatar())
    driver = load().motion.recorded() if motion is None else as_motion(motion, lambda: load().rig.head_model)
    shown = shown_rows(driver, start, end)
    check_neutral_frame(driver, neutral_frame, relative)
    pictures = given_footage(footage, driver.params.num_timesteps) if isinstance(footage, Path) else footage
    check_audio(audio, target.path)
    times = timeline(driver.sequences[shown], motion_fps or frame_rate(motion), fps, view)
    moved, notes = transferred(load(), driver, shown, follow_head, relative, neutral_frame)
    sound, sound_notes = sound_part(audio, times, start, driver.params.num_timesteps)
    notes = (*driver.notes, *notes, *sound_notes)
    for note in notes:
        on_note(note)
    cameras = cameras_for(view, load(), picture_size(view, width, height, target.even), times)
    vectors = load().fit(moved.interpolate(times.positions))
    frames = Frames(load(), vectors, cameras, picture, target.color(load().background), look)
    made = Reenactment(frames if pictures is None else SideBySide(frames, pictures, times, start), times.fps, notes)
    return made if target.path is None else _written(made, target.path, sound)


def _written(made: Reenactment, path: Path, sound: Sound | None) -> Reenactment:
    began = time.perf_counter()
    drawn = made.frames if isinstance(made.frames, Frames) else made.frames.drawn
    with cores_for(drawn.avatar), tracked(range(made.num_frames), "Rendering") as shown:
        write_pictures(path, (made.frames[index] for index in shown), made.fps, sound)
    return replace(made, path=path, writing_seconds=time.perf_counter() - began)
