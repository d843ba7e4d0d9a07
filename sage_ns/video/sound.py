"""The sound of a video: the part of a driver's recording that is heard while its motion is shown."""

from __future__ import annotations

from pathlib import Path

from sage_ns.errors import OptionError
from sage_ns.video.ffmpeg import inspect_media
from sage_ns.video.timeline import Timeline
from sage_ns.video.writer import Sound, carries_sound


def check_audio(audio: Path | None, output: Path | None) -> None:
    """Refuse a sound file that a video cannot have, before anything is drawn.

    Args:
        audio: the file; None: no sound is asked for.
        output: the video.

    Raises:
        OptionError: there is no sound in the file, or none can be written to ``output``.
        VideoError: there is no such file.
    """
    if audio is None:
        return
    if output is None:
        raise OptionError("there is no sound without an output", audio=audio)
    if not carries_sound(output):
        raise OptionError(f"{output} is of a kind that has no sound", audio=audio)
    if not inspect_media(audio).sound:
        raise OptionError("there is no sound in this file", audio=audio)


def heard_part(audio: Path | None, times: Timeline, start: int, num_rows: int) -> tuple[Sound | None, list[str]]:
    """The part of a sound file that is heard, and what a user should know.

    Args:
        audio: recorded with the motion, from its first row on; None: there is nothing to hear.
        times: when which row is shown.
        start: the first row that is shown.
        num_rows: of the whole motion.
    """
    if audio is None:
        return None, []
    if not times.plays:
        return None, ["No sound: the camera path has times of its own"]
    notes = []
    heard, seen = inspect_media(audio).seconds, num_rows / times.motion_fps
    if heard is not None and abs(heard - seen) > max(0.5, 0.05 * seen):
        notes = [
            f"{audio} lasts {heard:.1f} s, the motion {seen:.1f} s at {times.motion_fps:g} moments per second: "
            "if they drift apart, give --motion-fps"
        ]
    return Sound(audio, start / times.motion_fps, times.seconds), notes
