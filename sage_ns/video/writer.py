"""Pictures as a file: mp4, gif, video with alpha, or a folder of PNGs; whole, or not there at all."""

from __future__ import annotations

import os
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

from sage_ns.system.files import whole_folder
from sage_ns.video.ffmpeg import VideoError, ffmpeg_program, has_encoder

_PNG_NAME = re.compile(r"\d{5,}\.png")


@dataclass(frozen=True)
class Sound:
    """Part of a sound (or video) file that goes under a video."""

    path: Path
    start: float
    """Seconds into the file at which the video begins."""
    seconds: float
    """As long as the video; what the file has less is silence."""


@dataclass(frozen=True)
class _Format:
    """How ffmpeg writes one kind of file."""

    encoder: str
    arguments: tuple[str, ...]
    sound: tuple[str, ...] = ()
    """Arguments that encode sound; empty where there can be none."""
    even: bool = True
    """Whether colour is stored for blocks of 2 x 2 pixels."""


# Said and done: players guess the matrix of an untagged file from its size.
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
    """Whether pictures written to ``path`` become a folder of PNGs: its name has no ending."""
    return not path.suffix


def carries_sound(path: Path) -> bool:
    """Whether a file of this name can have sound."""
    return path.suffix.lower() in _OPAQUE and bool(_OPAQUE[path.suffix.lower()].sound)


def needs_even_size(path: Path, alpha: bool) -> bool:
    """Whether a file of this name can only have even numbers of pixels along its sides."""
    return not is_folder_name(path) and _format(path, alpha).even


def check_writable(path: Path, alpha: bool, overwrite: bool) -> None:
    """See to it, before any work, that pictures can be written to ``path``.

    Raises:
        VideoError: the name's ending is of no known kind or carries no alpha, ffmpeg lacks the encoder, something is
            there already, or what would be replaced is not a folder of numbered PNGs.
    """
    if is_folder_name(path):
        others = [each.name for each in path.iterdir() if not _PNG_NAME.fullmatch(each.name)] if path.is_dir() else []
        if others:
            raise VideoError(f"{path} holds more than numbered PNGs ({others[0]}): give the name of another folder")
    else:
        encoder = _format(path, alpha).encoder
        if not has_encoder(encoder):
            raise VideoError(f"{path}: {ffmpeg_program()} was built without {encoder}: give another ending, or none")
        if path.is_dir():
            raise VideoError(f"{path} is a folder: give another name")
    if path.exists() and not overwrite:
        raise VideoError(f"{path} exists already. Give --overwrite, or another --output.")


def write_pictures(
    path: Path | str, pictures: Iterable[Float[Tensor, "h w channels"]], fps: float, sound: Sound | None = None
) -> None:
    """Write pictures (float 0..1) as the name says: .mp4, .mov, .webm, .gif, or a folder of PNGs if it has no ending.

    Pictures with four channels have their alpha in the last one, colours not multiplied by it; .mov (ProRes 4444),
    .webm (VP9) and PNGs keep it. What is at ``path`` is replaced once everything is written, and stays if that fails.

    Raises:
        VideoError: ffmpeg cannot write this; names the file and says what it said.
    """
    path, pixels = Path(path), map(to_pixels, pictures)
    if is_folder_name(path):
        with whole_folder(path) as folder:
            for index, each in enumerate(pixels):
                Image.fromarray(each).save(folder / f"{index:05d}.png", compress_level=4)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        _encode(path, unfinished, pixels, fps, sound)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def to_pixels(picture: Float[Tensor, "h w channels"]) -> UInt8[np.ndarray, "h w channels"]:
    """A float picture 0..1 in 8 bits."""
    return (255 * picture.detach()).round().clamp(0, 255).to(torch.uint8).cpu().contiguous().numpy()


def beside(
    source: UInt8[np.ndarray, "source_h source_w 3"], picture: Float[Tensor, "h w channels"]
) -> Float[Tensor, "h both_w channels"]:
    """A source picture, fitted to the height of a rendered one and to an even width, and that one to its right."""
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
        why = "files of this kind carry no alpha" if ending in _OPAQUE else "pictures cannot be written as such a file"
        raise VideoError(f"{path}: {why}. Give a name that ends in one of {known}, or in nothing for a folder of PNGs.")
    return formats[ending]


def _encode(
    path: Path,
    unfinished: Path,
    pixels: Iterable[UInt8[np.ndarray, "h w channels"]],
    fps: float,
    sound: Sound | None,
) -> None:
    """Pipe raw pictures into ffmpeg, which encodes on other cores while the next picture is made."""
    process: subprocess.Popen[bytes] | None = None
    # Not a pipe: nobody would read it while pictures are written, and a full one stops ffmpeg.
    with tempfile.TemporaryFile() as said:
        try:
            for each in pixels:
                if process is None:
                    command = _command(path, unfinished, each.shape, fps, sound)
                    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=said)
                assert process.stdin is not None
                try:
                    process.stdin.write(each.data)
                except BrokenPipeError:
                    break
            if process is None:
                raise VideoError(f"{path}: there is not a single picture to write")
            _finish(path, process, said)
        finally:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def _finish(path: Path, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    if process.wait() != 0:
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
        raise VideoError(f"{path}: ffmpeg could not write this: {'; '.join(lines[-3:])}")


def _command(path: Path, unfinished: Path, shape: tuple[int, ...], fps: float, sound: Sound | None) -> list[str]:
    height, width, channels = shape
    form = _format(path, channels == 4)
    if form.even and (height % 2 or width % 2):
        raise VideoError(f"{path}: {width} x {height} pixels; {form.encoder} needs even numbers")
    command = [ffmpeg_program(), "-hide_banner", "-loglevel", "error", "-y"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgba" if channels == 4 else "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", f"{fps:.6f}", "-i", "-"]
    if sound is not None and form.sound:
        command += ["-ss", f"{sound.start:.6f}", "-t", f"{sound.seconds:.6f}", "-i", str(sound.path)]
        command += ["-map", "0:v:0", "-map", "1:a:0", *form.sound]
    return [*command, "-c:v", form.encoder, *form.arguments, str(unfinished)]
