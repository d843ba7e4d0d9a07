"""The pictures of a video file, one after the other, upright and at the rate that the file states."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from sage_ns.video.ffmpeg import ONLY_FILES, VideoError


def read_film(
    path: Path, start: float = 0.0, end: float | None = None, size: tuple[int, int] | None = None
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield the pictures of a video.

    Files with a varying rate are brought to a constant one, so that the number of a picture states its time.

    Args:
        path: video file.
        start: seconds from which on pictures are read.
        end: seconds up to which they are read; None = the end of the video.
        size: width and height to scale to; None = those of the upright video.

    Raises:
        VideoError: ffmpeg cannot decode it; names the file.
    """
    import imageio_ffmpeg

    span = [*(["-ss", f"{start:.6f}"] if start > 0 else []), *(["-to", f"{end:.6f}"] if end is not None else [])]
    scale = [] if size is None else ["-vf", f"scale={size[0]}:{size[1]}:flags=area"]
    frames = imageio_ffmpeg.read_frames(
        str(path), pix_fmt="rgb24", input_params=[*ONLY_FILES, *span], output_params=scale
    )
    try:
        width, height = next(frames)["size"]  # type: ignore[index]
        for data in frames:
            yield np.frombuffer(data, dtype=np.uint8).reshape(height, width, 3)  # type: ignore[arg-type]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:  # what imageio-ffmpeg raises
        reason = " ".join(str(error).split())[-200:]
        raise VideoError(f"{path}: the pictures of this video cannot be decoded ({reason}). Copy it again.") from error
