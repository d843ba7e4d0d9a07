"""Contact sheets: labelled pictures in rows and columns of one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sage_ns.capture.images import load_image
from sage_ns.capture.layout import Capture
from sage_ns.capture.splits import evenly_spaced
from sage_ns.system.files import whole_file
from sage_ns.video.writer import to_pixels

CAPTURE_COLUMNS = 5
"""Views per row of a capture's sheet."""
MOMENTS_SHOWN = 25
LABEL_HEIGHT = 22
MARGIN = 4


@dataclass(frozen=True)
class SheetRow:
    """One row of a contact sheet: its title, and its pictures (float 0..1)."""

    title: str
    pictures: Sequence[Float[Tensor, "h w 3"]]


def to_image(picture: Float[Tensor, "h w 3"]) -> Image.Image:
    """Convert a float picture 0..1 to an 8-bit image."""
    return Image.fromarray(to_pixels(picture))


def error_map(rendered: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w 3"]:
    """Draw the mean absolute error of the channels: white for 0, black for 1/4 and above."""
    error = (rendered - truth).abs().mean(dim=-1, keepdim=True)
    return (1 - 4 * error).clamp(0, 1).expand_as(truth)


def head_box(
    picture: Float[Tensor, "h w 3"], background: Float[Tensor, "3"], margin: float = 0.06
) -> tuple[slice, slice]:
    """Return the rows and columns that contain everything but background, with a margin (share of the box's height)."""
    shown = ((picture - background.to(picture)).abs().amax(dim=-1) > 0.04).cpu()
    if not bool(shown.any()):
        return slice(None), slice(None)
    rows, columns = (shown.any(dim=axis).nonzero()[:, 0] for axis in (1, 0))
    pad = round(margin * int(rows[-1] - rows[0] + 1))
    return tuple(  # type: ignore[return-value]
        slice(max(int(hit[0]) - pad, 0), min(int(hit[-1]) + 1 + pad, size))
        for hit, size in ((rows, shown.shape[0]), (columns, shown.shape[1]))
    )


def write_contact_sheet(
    path: Path, columns: Sequence[str], rows: Sequence[SheetRow], height: int | None = None
) -> None:
    """Write rows of labelled pictures as one PNG; all pictures get ``height`` pixels, by default the first one's."""
    height = rows[0].pictures[0].shape[0] if height is None else height
    images = [[_fit(to_image(picture), height) for picture in row.pictures] for row in rows]
    widths = [max(row[column].width for row in images) for column in range(len(columns))]
    sheet = Image.new(
        "RGB",
        (sum(widths) + MARGIN * (len(widths) + 1), LABEL_HEIGHT + (height + LABEL_HEIGHT) * len(rows)),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    lefts = [MARGIN + sum(widths[:column]) + MARGIN * column for column in range(len(widths))]
    for left, name in zip(lefts, columns, strict=True):
        draw.text((left, 4), name, fill="black", font=font)
    for index, (row, pictures) in enumerate(zip(rows, images, strict=True)):
        top = LABEL_HEIGHT + index * (height + LABEL_HEIGHT)
        for left, picture in zip(lefts, pictures, strict=True):
            sheet.paste(picture, (left, top))
        draw.text((MARGIN, top + height + 3), row.title, fill=(90, 90, 90), font=font)
    with whole_file(path) as unfinished:
        sheet.save(unfinished, format="PNG", optimize=True)


def write_capture_sheet(capture: Capture, path: Path) -> None:
    """Draw the training views of a capture's first moment (and the held-out ones), in rows of `CAPTURE_COLUMNS`.

    Of one camera, the sheet shows up to `MOMENTS_SHOWN` moments instead, evenly spaced.
    """
    moments = capture.train_multiframe
    if len(moments) > 1 and len({frame.camera_index for frame in moments}) == 1:
        frames = evenly_spaced(moments, MOMENTS_SHOWN)
        names = {frame: str(frame.timestep) for frame in frames}
        title = f"camera {moments[0].camera_index}, timesteps "
    else:
        moment = (*capture.train, *moments)[0].timestep
        held_out = {frame for frame in capture.val if frame.timestep == moment}
        frames = [*(frame for frame in capture.train if frame.timestep == moment), *held_out]
        frames = sorted(frames, key=lambda frame: frame.camera_index)
        names = {frame: f"{frame.camera_index}{' (held out)' * (frame in held_out)}" for frame in frames}
        title = f"timestep {moment}, cameras "
    rows = []
    for start in range(0, len(frames), CAPTURE_COLUMNS):
        row = frames[start : start + CAPTURE_COLUMNS]
        pictures = [load_image(frame.image_path)[0] / 255.0 for frame in row]
        blank = [torch.ones_like(pictures[0])] * (CAPTURE_COLUMNS - len(row))
        rows.append(SheetRow(title + ", ".join(names[frame] for frame in row), pictures + blank))
    write_contact_sheet(path, ("",) * CAPTURE_COLUMNS, rows)


def _fit(image: Image.Image, height: int) -> Image.Image:
    if image.height == height:
        return image
    return image.resize((max(1, image.width * height // image.height), height), Image.Resampling.LANCZOS)
