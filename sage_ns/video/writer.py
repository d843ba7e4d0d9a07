"""Writing of pictures as mp4, gif, video with alpha, or folder of PNGs. An error leaves no partial output."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from sage_ns.system.files import refuse_unwritable, whole_file, whole_folder
from sage_ns.video.ffmpeg import ONLY_FILES, VideoError, ffmpeg_program, has_encoder

_PNG_NAME = re.compile(r"\d{5,}\.png")


@dataclass(frozen=True)
class Sound:
    """Part of a sound (or video) file that becomes the sound of a video."""

    path: Path
    start: float
    """Time in the file, in seconds, at which the video begins."""
    seconds: float
    """Duration of the video; if the file ends earlier, the rest is silent."""


@dataclass(frozen=True)
class _Format:
    """Arguments of ffmpeg for one kind of file."""

    encoder: str
    arguments: tuple[str, ...]
    sound: tuple[str, ...] = ()
    """Arguments that encode sound; empty for files without sound."""
    even: bool = True
    """Whether colour is stored for blocks of 2 x 2 pixels, which requires even sizes."""


# Converts to BT.709 and tags the file as such: players guess the colour matrix of an untagged file from its size.
_BT709 = ("-vf", "scale=out_color_matrix=bt709:out_range=tv,setparams=color_primaries=bt709:color_trc=bt709")
_BT709 += ("-colorspace", "bt709", "-color_range", "tv")
_VP9 = ("-crf", "24", "-b:v", "0", "-row-mt", "1", "-cpu-used", "4", *_BT709)
_H264 = _Format(
    "libx264",
    ("-crf", "17", "-pix_fmt", "yuv420p", "-movflags", "+faststart", *_BT709),
    sound=("-c:a", "aac", "-b:a", "160k"),
)
_PALETTE = "split[frames][seen];[seen]palettegen[palette];[frames][palette]paletteuse"
_OPAQUE = {
    ".mp4": _H264,
    ".mov": _H264,
    ".webm": _Format(
        "libvpx-vp9",
        (*_VP9, "-pix_fmt", "yuv420p"),
        sound=("-c:a", "libopus"),
    ),
    ".gif": _Format("gif", ("-filter_complex", _PALETTE, "-loop", "0"), even=False),
}
_WITH_ALPHA = {
    ".mov": _Format(
        "prores_ks",
        ("-profile:v", "4444", "-pix_fmt", "yuva444p10le", "-vendor", "apl0", *_BT709),
        sound=("-c:a", "pcm_s16le"),
        even=False,
    ),
    ".webm": _Format(
        "libvpx-vp9",
        (*_VP9, "-pix_fmt", "yuva420p", "-auto-alt-ref", "0"),
        sound=("-c:a", "libopus"),
    ),
}


def is_folder_name(path: Path) -> bool:
    """Return whether pictures written to ``path`` become a folder of PNGs: its name has no suffix."""
    return not path.suffix


def carries_sound(path: Path) -> bool:
    """Return whether a file of this name can have sound."""
    return path.suffix.lower() in _OPAQUE and bool(_OPAQUE[path.suffix.lower()].sound)


def needs_even_size(path: Path, alpha: bool) -> bool:
    """Return whether width and height of a file of this name must be even numbers of pixels."""
    return not is_folder_name(path) and _format(path, alpha).even


def check_writable(path: Path, alpha: bool, overwrite: bool) -> None:
    """Check, before any work, that pictures can be written to ``path``.

    Raises:
        VideoError: the suffix is unknown or has no alpha, ffmpeg lacks the encoder, the path exists and ``overwrite``
            is False, or the folder to replace contains more than numbered PNGs.
        WriteError: this user may not write there.
    """
    refuse_unwritable(path)
    if is_folder_name(path):
        others = [each.name for each in path.iterdir() if not _PNG_NAME.fullmatch(each.name)] if path.is_dir() else []
        if others:
            raise VideoError(f"{path} contains more than numbered PNGs ({others[0]}): give the name of another folder")
    else:
        encoder = _format(path, alpha).encoder
        if not has_encoder(encoder):
            raise VideoError(f"{path}: {ffmpeg_program()} was built without {encoder}: give another suffix, or none")
        if path.is_dir():
            raise VideoError(f"{path} is a folder: give another name")
    if path.exists() and not overwrite:
        raise VideoError(f"{path} exists already. Give --overwrite, or another --output.")


def write_pictures(
    path: Path | str, pictures: Iterable[Float[Tensor, "h w channels"]], fps: float, sound: Sound | None = None
) -> None:
    """Write pictures (float 0..1) as .mp4, .mov, .webm or .gif, or as a folder of PNGs if the name has no suffix.

    Pictures with four channels have their alpha in the last one, colours not multiplied by it; .mov (ProRes 4444),
    .webm (VP9) and PNGs keep it. An existing file or folder is replaced after everything is written; if writing fails,
    it stays.

    Raises:
        VideoError: ffmpeg cannot write the file; names it and quotes ffmpeg's message.
        WriteError: the disk is full, or the folder cannot be written.
    """
    path, pixels = Path(path), map(to_pixels, pictures)
    if is_folder_name(path):
        with whole_folder(path) as folder:
            for index, each in enumerate(pixels):
                Image.fromarray(each).save(folder / f"{index:05d}.png", compress_level=4)
        return
    with whole_file(path) as unfinished:
        _encode(path, unfinished, pixels, fps, sound)


def to_pixels(picture: Float[Tensor, "h w channels"]) -> UInt8[np.ndarray, "h w channels"]:
    """Convert a float picture 0..1 to 8 bits."""
    return (255 * picture.detach()).round().clamp(0, 255).to(torch.uint8).cpu().contiguous().numpy()


def beside(
    source: UInt8[np.ndarray, "source_h source_w 3"], picture: Float[Tensor, "h w channels"]
) -> Float[Tensor, "h both_w channels"]:
    """Put a rendered picture to the right of a source picture, scaled to the same height and an even width."""
    height, _, channels = picture.shape
    size = (max(2, 2 * round(source.shape[1] * height / source.shape[0] / 2)), height)
    fitted = np.asarray(Image.fromarray(source).resize(size, Image.Resampling.LANCZOS), dtype=np.float32) / 255
    left = torch.from_numpy(fitted).to(picture)
    if channels == 4:
        left = torch.cat([left, torch.ones_like(left[..., :1])], dim=-1)
    return torch.cat([left, picture], dim=1)


def _format(path: Path, alpha: bool) -> _Format:
    formats = _WITH_ALPHA if alpha else _OPAQUE
    ending = path.suffix.lower()
    if ending not in formats:
        known = ", ".join(formats)
        why = "files of this kind carry no alpha" if ending in _OPAQUE else "unknown kind of file"
        raise VideoError(f"{path}: {why}. Give a name that ends in one of {known}, or in nothing for a folder of PNGs.")
    return formats[ending]


def _encode(
    path: Path,
    unfinished: Path,
    pixels: Iterable[UInt8[np.ndarray, "h w channels"]],
    fps: float,
    sound: Sound | None,
) -> None:
    """Pipe raw pictures into ffmpeg, which encodes on other cores while the next picture is drawn."""
    process: subprocess.Popen[bytes] | None = None
    # A file, not a pipe: a pipe that is not read while pictures are written fills up and blocks ffmpeg.
    with tempfile.TemporaryFile() as messages:
        try:
            for each in pixels:
                if process is None:
                    command = _command(path, unfinished, each.shape, fps, sound)
                    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=messages, stderr=messages)
                assert process.stdin is not None
                try:
                    process.stdin.write(each.data)
                except BrokenPipeError:
                    break
            if process is None:
                raise VideoError(f"{path}: there are no pictures to write")
            _finish(path, process, messages)
        finally:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def _finish(path: Path, process: subprocess.Popen[bytes], messages: IO[bytes]) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    if process.wait() != 0:
        messages.seek(0)
        lines = messages.read().decode(errors="replace").strip().splitlines()
        raise VideoError(f"{path}: ffmpeg could not write this file: {'; '.join(lines[-3:])}")


def _command(path: Path, unfinished: Path, shape: tuple[int, ...], fps: float, sound: Sound | None) -> list[str]:
    height, width, channels = shape
    form = _format(path, channels == 4)
    if form.even and (height % 2 or width % 2):
        raise VideoError(f"{path}: {width} x {height} pixels; {form.encoder} needs even numbers")
    command = [ffmpeg_program(), "-hide_banner", "-loglevel", "error", "-y"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgba" if channels == 4 else "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", f"{fps:.6f}", "-i", "-"]
    if sound is not None and form.sound:
        command += ["-ss", f"{sound.start:.6f}", "-t", f"{sound.seconds:.6f}", *ONLY_FILES, "-i", str(sound.path)]
        command += ["-map", "0:v:0", "-map", "1:a:0", *form.sound]
    return [*command, "-c:v", form.encoder, *form.arguments, str(unfinished)]
