"""Write a capture folder from pictures, masks, cameras and FLAME parameters in memory.

The layout is that of VHAP's single-sequence exports, which `sage_ns.capture.frames` reads, with two additional keys:
the transforms state that ``cy`` is measured from the top of the picture ("cy_origin"), and, where it is known, whose
axes the light of the room keeps ("light_axes").
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from sage_ns.capture.camera_checks import camera_to_world, check_size, pinhole_of
from sage_ns.capture.frames import Frame
from sage_ns.capture.layout import ALL_FRAMES, TEST, TRAIN, VAL, LightAxes
from sage_ns.capture.splits import SplitName
from sage_ns.capture.validation import check_head_in_front
from sage_ns.errors import CaptureError, FlameParamsError
from sage_ns.rig import HEAD_MODEL_FILE, FlameParams, HeadModel, save_head_model
from sage_ns.system.array_fields import ArrayFields
from sage_ns.system.files import refuse_unwritable, whole_folder

CANONICAL_JAW = 0.3
"""Opening of the jaw in `canonical_flame_param.npz`, in radians; VHAP writes the same value."""

Pixels = UInt8[np.ndarray, "h w *channels"] | Float[np.ndarray, "h w *channels"]


@dataclass(frozen=True, eq=False)
class CameraPicture:
    """One picture of a capture to write, with its camera, timestep, mask and split."""

    timestep: int
    """Row of the FLAME parameters that the head has in the picture."""
    camera_index: int
    camera_to_world: Float[np.ndarray, "4 4"]
    """Metres, in the world of the FLAME parameters; OpenGL axes (x right, y up, z back)."""
    intrinsics: Float[np.ndarray, "3 3"]
    """Pixels: fx 0 cx, 0 fy cy, 0 0 1; cy from the top, pixel centres at +0.5."""
    image: Pixels
    """RGB [h, w, 3], uint8 or float in 0..1, blended with white where the mask is not full."""
    mask: Pixels | None = None
    """Soft foreground mask [h, w], uint8 or float in 0..1."""
    hidden: Pixels | None = None
    """Full where something that is no part of the head hides it [h, w], uint8 or float in 0..1."""
    split: SplitName = "train"
    """train; val = a held-out camera; test = a held-out moment."""

    @property
    def name(self) -> str:
        """Name of the picture in messages."""
        return f"picture of timestep {self.timestep} by camera {self.camera_index}"


def write_capture(
    out: Path | str,
    pictures: Iterable[CameraPicture],
    params: FlameParams,
    overwrite: bool = False,
    light_axes: LightAxes | None = None,
    head_model: HeadModel | None = None,
) -> Path:
    """Write a capture. Put the head model that the capture was tracked with beside it, see `find_head_model`.

    Args:
        out: Folder to create.
        pictures: All pictures, at least one of them for training. They are read one by one; a generator works, too.
        params: Identity and one row of motion per timestep, in the same world as the cameras.
        overwrite: Replace an existing folder.
        light_axes: Axes in which the room's light stands still; None writes no statement.
        head_model: Head model of this capture, written into the folder; None where the user has its file.

    Returns:
        `out`, complete. If writing fails, nothing is left there.

    Raises:
        CaptureError: `out` is in use; or a picture has the wrong shape, is not finite, looks away from the head or is
            given twice; or no picture is for training. Names the picture and the field.
        FlameParamsError: A field of the parameters has the wrong shape or is not finite; names the field.
    """
    out = Path(out).expanduser().absolute()
    refuse_used_folder(out, overwrite)
    params = _checked_params(params)
    with whole_folder(out) as folder:
        frames: dict[tuple[int, int], Frame] = {}
        splits: dict[SplitName, list[Frame]] = {"train": [], "val": [], "test": []}
        for picture in pictures:
            frame = _frame(picture, params, folder)
            moment = (frame.timestep, frame.camera_index)
            if moment in frames:
                raise CaptureError(f"{picture.name} is given twice; give every camera one picture per timestep")
            if picture.split not in splits:
                raise CaptureError(f"{picture.name}: 'split' is {picture.split!r}; expected one of {', '.join(splits)}")
            _write_files(picture, frame)
            frames[moment] = frame
            splits[picture.split].append(frame)
        if not splits["train"]:
            raise CaptureError(
                f"{out}: none of the {len(frames)} pictures is for training; give some the split 'train'"
            )
        params.save_vhap(folder / "flame_param")
        _canonical(params).save_vhap(folder / "canonical_flame_param.npz")
        if head_model is not None:
            save_head_model(head_model, folder / HEAD_MODEL_FILE)
        files = {TRAIN: splits["train"], VAL: splits["val"], TEST: splits["test"], ALL_FRAMES: list(frames.values())}
        write_transforms(folder, files, light_axes)
    return out


def write_transforms(folder: Path, splits: Mapping[str, Sequence[Frame]], light_axes: LightAxes | None = None) -> None:
    """Write frames of a capture as transforms files, by file name.

    The paths of the frames are absolute. They lie in ``folder``, or in folders beside it as those of a union do.
    """
    for name, frames in splits.items():
        ordered = sorted(frames, key=lambda frame: (frame.timestep, frame.camera_index))
        content = {
            **(_intrinsics(ordered[-1]) if ordered else {}),
            "cy_origin": "top",
            **({} if light_axes is None else {"light_axes": light_axes}),
            "timestep_indices": sorted({frame.timestep for frame in ordered}),
            "camera_indices": sorted({frame.camera_index for frame in ordered}),
            "frames": [_entry(frame, folder) for frame in ordered],
        }
        (folder / name).write_text(json.dumps(content, indent=1) + "\n")


def picture_name(timestep: int, camera: int) -> str:
    """Return VHAP's file name of a picture and of its mask."""
    return f"{timestep:05d}_{camera:02d}.png"


def refuse_used_folder(out: Path, overwrite: bool) -> None:
    """Refuse to overwrite a file, or a folder that is not empty.

    Raises:
        CaptureError: `out` is a file, or a folder that is not empty and `overwrite` is False.
        WriteError: this user may not write there.
    """
    refuse_unwritable(out)
    if out.exists() and not out.is_dir():
        raise CaptureError(f"{out} is a file; give a folder to write the capture to")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise CaptureError(f"{out} exists and is not empty; give another folder, or --overwrite to replace it")


def _frame(picture: CameraPicture, params: FlameParams, folder: Path) -> Frame:
    """Check everything of a picture but its pixels, and return it as a frame."""
    if not 0 <= picture.timestep < params.num_timesteps:
        raise CaptureError(
            f"{picture.name}: 'timestep' is out of range; the FLAME parameters have the timesteps 0 to "
            f"{params.num_timesteps - 1}"
        )
    if picture.camera_index < 0:
        raise CaptureError(f"{picture.name}: 'camera_index' is {picture.camera_index}; expected 0 or more")
    shape = np.shape(picture.image)
    if len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise CaptureError(f"{picture.name}: 'image' has the shape {list(shape)}; expected [height, width, 3]")
    for field, pixels in (("mask", picture.mask), ("hidden", picture.hidden)):
        if pixels is not None and np.shape(pixels) != shape[:2]:
            raise CaptureError(
                f"{picture.name}: '{field}' has the shape {list(np.shape(pixels))}; expected {list(shape[:2])}, as the "
                "image has"
            )
    size = check_size(shape[1], shape[0], picture.name)
    (fx, fy), (cx, cy) = pinhole_of(picture.intrinsics, size, picture.name)
    name = picture_name(picture.timestep, picture.camera_index)
    frame = Frame(
        timestep=picture.timestep,
        camera_index=picture.camera_index,
        camera_id=f"{picture.camera_index:02d}",
        image_path=folder / "images" / name,
        mask_path=None if picture.mask is None else folder / "fg_masks" / name,
        flame_param_path=folder / "flame_param" / f"{picture.timestep:05d}.npz",
        camera_to_world=camera_to_world(picture.camera_to_world, picture.name, "camera_to_world"),
        fx=fx,
        fy=fy,
        cx=cx,
        cy=cy,
        width=shape[1],
        height=shape[0],
        source=picture.name,
        hidden_path=None if picture.hidden is None else folder / "hidden" / name,
    )
    # FLAME's origin lies inside the head
    check_head_in_front([frame], {picture.timestep: params.translation[picture.timestep].double().cpu().numpy()})
    return frame


def _write_files(picture: CameraPicture, frame: Frame) -> None:
    for pixels, path, field in (
        (picture.image, frame.image_path, "image"),
        (picture.mask, frame.mask_path, "mask"),
        (picture.hidden, frame.hidden_path, "hidden"),
    ):
        if pixels is not None and path is not None:
            path.parent.mkdir(exist_ok=True)
            values = _bytes(np.asarray(pixels), f"{picture.name}: '{field}'")
            if field != "image" and values.max() == 1:
                raise CaptureError(f"{picture.name}: '{field}' contains only 0 and 1 as uint8; multiply it by 255")
            Image.fromarray(values).save(path)


def _bytes(pixels: np.ndarray, what: str) -> UInt8[np.ndarray, "h w *channels"]:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind != "f":
        raise CaptureError(f"{what} is of type {pixels.dtype}; expected uint8, or floating point numbers in 0..1")
    # NaN passes no comparison
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise CaptureError(f"{what} has values outside of 0..1 or NaN; divide by 255, or give uint8")
    return np.round(255 * pixels).astype(np.uint8)


def _checked_params(params: FlameParams) -> FlameParams:
    """Return the parameters unchanged after checking that every field has its shape and is finite."""
    names = ("expr", "rotation", "neck_pose", "jaw_pose", "translation", "eyes_pose", "shape", "static_offset")
    fields = {name: value for name in names if (value := getattr(params, name)) is not None}
    read = ArrayFields("FLAME parameters", fields, FlameParamsError)
    if read.floats("expr", "num_timesteps num_expression").shape[0] == 0:
        raise read.fail("expr", "no timesteps", "at least one")
    for name in ("rotation", "neck_pose", "jaw_pose", "translation"):
        read.floats(name, "num_timesteps 3")
    read.floats("eyes_pose", "num_timesteps 6")
    read.floats("shape", "num_shape")
    if "static_offset" in read:
        read.floats("static_offset", "num_vertices 3")
    return params


def _canonical(params: FlameParams) -> FlameParams:
    """Return the identity at rest with an open mouth, which VHAP calls canonical."""
    row = FlameParams.from_motion_vector(torch.zeros_like(params[0].motion_vector()), params)
    return replace(row, jaw_pose=row.jaw_pose.new_tensor([[CANONICAL_JAW, 0.0, 0.0]]))


def _entry(frame: Frame, folder: Path) -> dict[str, Any]:
    paths = {
        "file_path": frame.image_path,
        "fg_mask_path": frame.mask_path,
        "hidden_path": frame.hidden_path,
        "flame_param_path": frame.flame_param_path,
    }
    return {
        "timestep_index": frame.timestep,
        "timestep_index_original": frame.timestep,
        "timestep_id": f"{frame.timestep:05d}",
        "camera_index": frame.camera_index,
        "camera_id": frame.camera_id,
        **_intrinsics(frame),
        "transform_matrix": frame.camera_to_world.tolist(),
        **{key: Path(os.path.relpath(path, folder)).as_posix() for key, path in paths.items() if path is not None},
    }


def _intrinsics(frame: Frame) -> dict[str, float]:
    return {
        "cx": frame.cx,
        "cy": frame.cy,
        "fl_x": frame.fx,
        "fl_y": frame.fy,
        "h": frame.height,
        "w": frame.width,
        "camera_angle_x": 2.0 * math.atan(0.5 * frame.width / frame.fx),
        "camera_angle_y": 2.0 * math.atan(0.5 * frame.height / frame.fy),
    }
