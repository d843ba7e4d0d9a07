"""Access to ffmpeg without a manual installation: the system's program or the binary that imageio-ffmpeg ships."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sage_ns.errors import SageError
from sage_ns.system.cache import cache_dir
from sage_ns.system.leftovers import unfinished_name
from sage_ns.system.user_files import check_regular

ONLY_FILES = ("-protocol_whitelist", "file")
"""Options before an input: a playlist under the name of a video could make ffmpeg read from the network."""


class VideoError(SageError):
    """A video, its sound or a source of pictures cannot be read or written."""


def put_ffmpeg_on_path() -> None:
    """Put ``ffmpeg`` on PATH: the system's program, or else a link to the binary that imageio-ffmpeg ships.

    nerfstudio and mediapy look for a program of exactly that name. Without one, ns-render reports it; everything else,
    training above all, goes on.
    """
    if shutil.which("ffmpeg") is not None:
        return
    try:
        link = _linked(Path(ffmpeg_program()), cache_dir() / "bin" / "ffmpeg")
    except (OSError, RuntimeError, SageError):  # RuntimeError: imageio-ffmpeg ships no binary for this machine
        return
    folder = link.parent
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"


def _linked(target: Path, link: Path) -> Path:
    """Return ``link`` after making it a link to ``target``, unless it leads to a program already."""
    if not link.exists():  # also a link into an environment that no longer exists
        link.parent.mkdir(parents=True, exist_ok=True)
        fresh = link.with_name(unfinished_name(link.name))
        fresh.symlink_to(target)
        os.replace(fresh, link)
    return link


def ffmpeg_program() -> str:
    """Return the path of the ffmpeg that imageio-ffmpeg ships, or that IMAGEIO_FFMPEG_EXE names."""
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()


@lru_cache
def has_encoder(name: str) -> bool:
    """Return whether ffmpeg was built with an encoder."""
    listed = _run("-encoders")
    return re.search(rf"^ \S{{6}} {re.escape(name)}\s", listed, re.MULTILINE) is not None


@dataclass(frozen=True)
class MediaFile:
    """Properties of a video or sound file."""

    seconds: float | None
    """Duration; None if the file does not specify it."""
    fps: float | None
    """Frames per second of its pictures; None if it has no pictures."""
    sound: bool
    """Whether the file has a sound track."""


def inspect_media(path: Path) -> MediaFile:
    """Read the header of a video or sound file.

    Raises:
        VideoError: the file is missing, or contains neither pictures nor sound.
    """
    check_regular(path, VideoError)
    described = _run(*ONLY_FILES, "-i", str(path))
    sound = re.search(r"^\s+Stream #.*: Audio: ", described, re.MULTILINE) is not None
    pictures = re.search(r"^\s+Stream #.*: Video: .*?([\d.]+) fps", described, re.MULTILINE)
    if not sound and pictures is None:
        raise VideoError(f"{path}: neither pictures nor sound that ffmpeg can read in this file")
    length = re.search(r"Duration: (\d+):(\d+):([\d.]+)", described)
    hours, minutes, seconds = map(float, length.groups()) if length else (0.0, 0.0, 0.0)
    return MediaFile(
        seconds=3600 * hours + 60 * minutes + seconds if length else None,
        fps=float(pictures[1]) if pictures else None,
        sound=sound,
    )


def _run(*arguments: str) -> str:
    """Run ffmpeg and return its output. Without an output file, ffmpeg describes the input and exits with an error."""
    command = [ffmpeg_program(), "-hide_banner", "-nostdin", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return done.stdout + done.stderr
