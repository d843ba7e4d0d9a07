"""The registry of programs whose pseudo views can be converted, and what their converters share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8

from sage_ns.capture.decode import decode_matte, decode_picture
from sage_ns.capture.frames import Frame, frame_entries, read_json
from sage_ns.capture.paths import absolute_path
from sage_ns.capture.pseudo_views import NewView
from sage_ns.errors import CaptureError
from sage_ns.geometry.rigid import CAMERA_AXES
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.rig.skull import skull_motions
from sage_ns.system.json_files import shown
from sage_ns.system.registry import Registry

MASK_FOLDERS = ("fg_masks", "masks", "mask", "alpha")
"""Folders beside the pictures in which masks of the same names are looked for."""


@dataclass(frozen=True, eq=False)
class CanonicalHead:
    """The head of the capture at its canonical moment: what pseudo views are placed around.

    Args:
        model: head model of the capture.
        params: parameters of the moment; one row.
        frame: the real picture of the moment.
    """

    model: HeadModel
    params: FlameParams
    frame: Frame

    def camera_to_world(self, camera_from_head: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
        """Return the pose of a camera (OpenGL axes, metres) from how it sees FLAME's unposed head.

        Args:
            camera_from_head: from the axes of the unposed head [metres] to those of the camera, OpenCV's.
        """
        world_from_head = skull_motions(self.model, self.params)[0].double().numpy()
        return world_from_head @ np.linalg.inv(camera_from_head) @ CAMERA_AXES


class ViewsConverter(ABC):
    """One program. `sage-capture views` offers every subclass that is decorated with `register_converter`."""

    name: ClassVar[str]
    """Name on the command line."""
    program: ClassVar[str]
    """Name of the program."""
    licence: ClassVar[str]
    """Licences of its code and weights, as far as they are known; the user has to check them."""
    layout: ClassVar[str]
    """What the folder holds, for help texts and docs."""

    @abstractmethod
    def convert(self, source: Path, head: CanonicalHead) -> list[NewView]:
        """Read the folder.

        Raises:
            CaptureError: a file is missing or broken; names it.
        """


_REGISTRY: Registry[ViewsConverter] = Registry("converter of pseudo views", CaptureError)
register_converter = _REGISTRY.register


def converters() -> list[ViewsConverter]:
    """Return all converters, in the order of their names."""
    return _REGISTRY.entries()


def find_converter(name: str) -> ViewsConverter:
    """Return a converter by name.

    Raises:
        CaptureError: there is none; lists all names.
    """
    return _REGISTRY[name]


def require(path: Path, layout: str) -> Path:
    """Return a path that has to exist.

    Raises:
        CaptureError: it does not.
    """
    if not path.exists():
        raise CaptureError(f"{path} does not exist; expected {layout}.")
    return path


@dataclass(frozen=True, eq=False)
class ListedPicture:
    """A picture that ``cameras.json`` names, with its entry there."""

    entry: Mapping[str, Any]
    source: str
    """File and position in it, for messages."""
    image: UInt8[np.ndarray, "h w 3"]
    mask: UInt8[np.ndarray, "h w"]


def listed_pictures(path: Path) -> Iterator[ListedPicture]:
    """Read the pictures that the list ``frames`` of a JSON file names as ``file_path``, relative to its folder.

    Raises:
        CaptureError: the file is broken, names no picture, or a picture cannot be used.
    """
    for position, entry in enumerate(frame_entries(read_json(path), path)):
        source, name = f"{path}, frame {position}", entry.get("file_path")
        if not isinstance(name, str):
            raise CaptureError(f"{source}: 'file_path' is {shown(name)}; expected the path of a picture.")
        file = absolute_path(path.parent.resolve(), name, "file_path", source)
        yield ListedPicture(entry, source, *picture_and_mask(require(file, f"the picture that {path.name} names")))


def rigid(
    rotation: Float[np.ndarray, "3"], translation: Float[np.ndarray, "3"], source: str
) -> Float[np.ndarray, "4 4"]:
    """Return ``x -> R x + t`` from an axis-angle vector [radians] and a translation.

    Raises:
        CaptureError: a value is not finite.
    """
    if not (np.isfinite(rotation).all() and np.isfinite(translation).all()):
        raise CaptureError(f"{source}: rotation or translation is not finite.")
    motion = np.eye(4)
    motion[:3, :3] = axis_angle_to_matrix(torch.from_numpy(np.asarray(rotation, dtype=np.float64))).numpy()
    motion[:3, 3] = translation
    return motion


def picture_and_mask(path: Path) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """Return a picture on white and its mask: its own alpha, or a file of its name in a folder of masks beside.

    Raises:
        CaptureError: there is no mask, or a file cannot be read.
    """
    picture = decode_picture(path)
    masks = [folder / name / path.name for folder in (path.parent, path.parent.parent) for name in MASK_FOLDERS]
    found = next((mask for mask in masks if mask.is_file()), None)
    pixels = np.array(picture)
    if picture.mode == "RGBA":
        alpha = pixels[..., 3]
        share = alpha[..., None].astype(np.float64) / 255
        return np.round(share * pixels[..., :3] + (1 - share) * 255).astype(np.uint8), alpha
    if found is None:
        raise CaptureError(
            f"{path} has no alpha, and there is no mask of its name in {', '.join(MASK_FOLDERS)} beside its folder. "
            "Programs draw backgrounds of their own: cut the head out with a matting program first."
        )
    mask = np.array(decode_matte(found))
    if mask.shape != pixels.shape[:2]:
        raise CaptureError(f"{found} has {mask.shape[::-1]} px, its picture {pixels.shape[1::-1]}. Use one size.")
    return pixels, mask
