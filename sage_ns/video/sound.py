"""The sound of a video: the part of a driver's recording that belongs to the shown moments."""

from __future__ import annotations

from pathlib import Path

from sage_ns.errors import OptionError
from sage_ns.video.ffmpeg import inspect_media
from sage_ns.video.timeline import Timeline
from sage_ns.video.writer import Sound, carries_sound


def check_audio(audio: Path | None, output: Path | None) -> None:
    """Check that a sound file can be added to a video, before any frame is drawn.

    Args:
        audio: the sound file; None: a video without sound.
        output: the video.

    Raises:
        OptionError: the file contains no sound, or ``output`` cannot have sound.
        VideoError: the file is missing.
    """
    if audio is None:
        return
    if output is None:
        raise OptionError("there is no sound without an output", audio=audio)
    if not carries_sound(output):
        raise OptionError(f"files of the kind of {output} cannot have sound", audio=audio)
    if not inspect_media(audio).sound:
        raise OptionError("there is no sound in this file", audio=audio)


def sound_part(audio: Path | None, times: Timeline, start: int, num_rows: int) -> tuple[Sound | None, list[str]]:
    """Return the part of a sound file that belongs to the shown moments, and notes for the user.

    Args:
        audio: sound that was recorded with the motion, from its first row on; None: no sound.
        times: row of the motion for each frame.
        start: the first row that is shown.
        num_rows: number of rows of the whole motion.
    """
    if audio is None:
        return None, []
    if not times.plays:
        return None, ["No sound: the camera path has times of its own"]
    notes = []
    audio_seconds, motion_seconds = inspect_media(audio).seconds, num_rows / times.motion_fps
    if audio_seconds is not None and abs(audio_seconds - motion_seconds) > max(0.5, 0.05 * motion_seconds):
        notes = [
            f"{audio} lasts {audio_seconds:.1f} s, the motion {motion_seconds:.1f} s at {times.motion_fps:g} moments "
            "per second: if they are out of step, give --motion-fps"
        ]
    return Sound(audio, start / times.motion_fps, times.seconds), notes
