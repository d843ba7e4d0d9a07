"""Pseudo views: pictures of the canonical head that no camera took, as other programs imagine or render them.

A bundle is a folder with ``transforms.json`` and the files that it names. Every frame has the keys of VHAP's frames for
picture, mask and camera (the world is the capture's at its canonical moment), and

* ``pseudo``: true;
* ``weight``: factor on its photometric losses, 0 to 1;
* ``confidence_path``: optional 8-bit picture, 255 where the pseudo view is to be believed.

The top level names ``provider`` and ``licence``. Pseudo views are for training alone: captures refuse them, and so do
their splits val and test.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from sage_ns.capture.decode import read_header
from sage_ns.capture.frames import PSEUDO, Frame, frame_entries, read_json, read_pictures
from sage_ns.capture.images import load_matte
from sage_ns.capture.layout import ALL_FRAMES
from sage_ns.capture.paths import absolute_path
from sage_ns.capture.validation import check_images
from sage_ns.errors import CaptureError
from sage_ns.system.files import whole_folder
from sage_ns.system.json_files import finite_number, shown

_UNKNOWN = "not stated"


@dataclass(frozen=True, eq=False)
class PseudoView:
    """One pseudo view of a bundle."""

    frame: Frame
    weight: float
    confidence_path: Path | None

    def confidence(self, downscale_factor: int = 1) -> Float[Tensor, "h w 1"]:
        """Return where the view is to be believed, 0..1, after downscaling by blocks of pixels.

        Raises:
            CaptureError: the file cannot be read, or has another size than the picture.
        """
        frame = self.frame
        size = frame.height // downscale_factor, frame.width // downscale_factor
        if self.confidence_path is None:
            return torch.ones(*size, 1)
        what = f"{frame.source}: 'confidence_path'"
        matte = load_matte(self.confidence_path, (frame.width, frame.height), downscale_factor, what)
        return matte.float() / 255


@dataclass(frozen=True, eq=False)
class Bundle:
    """Pseudo views of one provider."""

    views: tuple[PseudoView, ...]
    provider: str
    licence: str


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle, and check that its pictures and masks exist and have the stated sizes.

    Raises:
        CaptureError: the folder is no bundle, a frame is not marked as pseudo, or a field or file cannot be used.
    """
    path = folder / ALL_FRAMES
    if not path.is_file():
        raise CaptureError(
            f"{folder} is no folder of pseudo views: it has no {ALL_FRAMES}. Make one with sage-capture views."
        )
    content = read_json(path)
    # The capture gives the moment: its canonical one.
    frames = read_pictures(path, (0, path))
    views = []
    for position, (frame, entry) in enumerate(zip(frames, frame_entries(content, path), strict=True)):
        source = f"{path}, frame {position}"
        if entry.get(PSEUDO) is not True:
            raise CaptureError(
                f"{source}: '{PSEUDO}' is {shown(entry.get(PSEUDO))}; expected true. Pictures that a camera took "
                "belong into the capture."
            )
        if frame.mask_path is None and "A" not in read_header(frame.image_path).bands:
            raise CaptureError(
                f"{source}: the picture {frame.image_path} has neither 'fg_mask_path' nor alpha; expected a mask, "
                "because generated backgrounds are of no use."
            )
        weight = finite_number(entry.get("weight", 1.0))
        if weight is None or not 0.0 <= weight <= 1.0:
            raise CaptureError(f"{source}: 'weight' is {shown(entry['weight'])}; expected a number in 0..1.")
        stated = entry.get("confidence_path")
        confidence = None if stated is None else absolute_path(folder.resolve(), stated, "confidence_path", source)
        views.append(PseudoView(frame, float(weight), confidence))
    if not views:
        raise CaptureError(f"{path}: 'frames' is an empty list; expected at least one pseudo view.")
    check_images([view.frame for view in views])
    return Bundle(tuple(views), _text(content, "provider", path), _text(content, "licence", path))


def _text(content: dict[str, Any], name: str, path: Path) -> str:
    value = content.get(name, _UNKNOWN)
    if not isinstance(value, str):
        raise CaptureError(f"{path}: '{name}' is {shown(value)}; expected text.")
    return value


@dataclass(frozen=True, eq=False)
class NewView:
    """A pseudo view to write."""

    image: UInt8[np.ndarray, "h w 3"]
    mask: UInt8[np.ndarray, "h w"]
    camera_to_world: Float[np.ndarray, "4 4"]
    """OpenGL axes, metres, in the world of the capture at its canonical moment."""
    fx: float
    fy: float
    cx: float
    cy: float
    """Pixels; cy from the top of the picture."""
    weight: float = 0.3
    confidence: UInt8[np.ndarray, "h w"] | None = None


def write_bundle(out: Path, views: Sequence[NewView], provider: str, licence: str) -> Path:
    """Write a bundle, complete or not at all, and return its folder.

    Raises:
        WriteError: the folder cannot be written.
    """
    with whole_folder(out) as folder:
        entries = []
        for number, view in enumerate(views):
            height, width = view.mask.shape
            name = f"{number:03d}.png"
            pictures = {"file_path": ("images", view.image), "fg_mask_path": ("fg_masks", view.mask)}
            if view.confidence is not None:
                pictures["confidence_path"] = ("confidence", view.confidence)
            for place, pixels in pictures.values():
                (folder / place).mkdir(exist_ok=True)
                Image.fromarray(pixels).save(folder / place / name)
            entries.append(
                {
                    PSEUDO: True,
                    "weight": view.weight,
                    "camera_index": number,
                    **{"fl_x": view.fx, "fl_y": view.fy, "cx": view.cx, "cy": view.cy, "w": width, "h": height},
                    "camera_angle_x": 2.0 * math.atan(0.5 * width / view.fx),
                    "transform_matrix": view.camera_to_world.tolist(),
                    **{key: f"{place}/{name}" for key, (place, _) in pictures.items()},
                }
            )
        content = {"provider": provider, "licence": licence, "cy_origin": "top", "frames": entries}
        (folder / ALL_FRAMES).write_text(json.dumps(content, indent=1) + "\n")
    return out
