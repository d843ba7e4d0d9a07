"""An ffmpeg for nerfstudio's video writing, without asking anyone to install one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def put_ffmpeg_on_path() -> None:
    """Make ``ffmpeg`` findable on PATH: the system's if there is one, else the binary that imageio-ffmpeg ships.

    nerfstudio and mediapy look for a program of exactly that name, hence the link.
    """
    if shutil.which("ffmpeg") is not None:
        return
    import imageio_ffmpeg

    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sage_ns" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "ffmpeg"
    target = Path(imageio_ffmpeg.get_ffmpeg_exe())
    if not link.exists():
        fresh = folder / f"ffmpeg.{os.getpid()}"
        fresh.symlink_to(target)
        os.replace(fresh, link)  # atomic, and replaces a link whose environment is gone
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
