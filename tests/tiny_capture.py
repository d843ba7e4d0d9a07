"""A tiny valid VHAP capture for tests: shaded discs where the head is, with soft masks and a tiny head model."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sage_ns.capture.record import CaptureRecord
from sage_ns.rig import FlameParams, HeadModel, pose_vertices, save_head_model
from tests.tiny import tiny_head_model

CAMERA_DISTANCE = 1.0
"""Metres from the origin, at the height of the head."""


def write_tiny_capture(
    folder: Path,
    num_cameras: int = 3,
    num_timesteps: int = 4,
    width: int = 32,
    height: int = 40,
    model: HeadModel | None = None,
) -> Path:
    """Writes a capture with VHAP's splits: first 70 % of the timesteps for training, last camera held out.

    Timestep 0 is neutral and expression and jaw grow from there. Also writes ``head_model.npz`` into the folder.
    Returns the folder.
    """
    model = tiny_head_model() if model is None else model
    folder.mkdir(parents=True, exist_ok=True)
    save_head_model(model, folder / "head_model.npz")
    params = tiny_motion(model, num_timesteps)
    params.save_vhap(folder / "flame_param")
    replace(params[0], jaw_pose=torch.tensor([[0.3, 0.0, 0.0]])).save_vhap(folder / "canonical_flame_param.npz")
    vertices = pose_vertices(model, params)
    frames = []
    for timestep in range(num_timesteps):
        center = vertices[timestep].mean(0).double().numpy()
        radius = float((vertices[timestep] - vertices[timestep].mean(0)).norm(dim=-1).max())
        for camera in range(num_cameras):
            angle = math.radians(30) * (camera - (num_cameras - 1) / 2)
            frame = frame_entry(timestep, camera, angle, 2.5 * width + camera, width, height)
            frames.append(frame)
            _draw(folder, frame, center, radius)
    num_train = math.ceil(0.7 * num_timesteps)
    held_out = num_cameras - 1 if num_cameras > 1 else -1
    seen = [frame for frame in frames if frame["timestep_index"] < num_train]
    write_transforms(folder / "transforms.json", frames)
    write_transforms(folder / "transforms_train.json", [f for f in seen if f["camera_index"] != held_out])
    write_transforms(folder / "transforms_val.json", [f for f in seen if f["camera_index"] == held_out])
    write_transforms(folder / "transforms_test.json", [f for f in frames if f["timestep_index"] >= num_train])
    return folder


def tiny_motion(model: HeadModel, num_timesteps: int) -> FlameParams:
    """A motion that starts neutral: expression, jaw, turn and shift grow with the timestep."""
    ramp = torch.linspace(0, 1, num_timesteps)[:, None]
    directions = torch.tensor([1.0, 0.0, 0.0])
    expr = torch.zeros(num_timesteps, model.num_expression)
    expr[:, :1] = ramp
    return FlameParams(
        shape=torch.zeros(model.num_shape),
        expr=expr,
        rotation=0.2 * ramp * directions.roll(1),
        neck_pose=torch.zeros(num_timesteps, 3),
        jaw_pose=0.3 * ramp * directions,
        eyes_pose=torch.zeros(num_timesteps, 6),
        translation=0.01 * ramp * directions,
        static_offset=torch.zeros(model.num_vertices, 3),
    )


def write_transforms(path: Path, frames: list[dict[str, Any]], **shared: Any) -> None:
    """Writes a transforms file; the shared intrinsics are the last frame's, as VHAP has it."""
    intrinsics = ("cx", "cy", "fl_x", "fl_y", "h", "w", "camera_angle_x", "camera_angle_y")
    content = {key: frames[-1][key] for key in intrinsics if frames and key in frames[-1]}
    content["timestep_indices"] = sorted({frame["timestep_index"] for frame in frames})
    content["camera_indices"] = sorted({frame["camera_index"] for frame in frames})
    path.write_text(json.dumps({**content, **shared, "frames": frames}))


def edit_frames(path: Path, **changes: Any) -> None:
    """Changes keys of every frame of a transforms file; None takes a key away, a function maps the old value."""
    content = json.loads(path.read_text())
    for frame in content["frames"]:
        for key, change in changes.items():
            if change is None:
                frame.pop(key, None)
            else:
                frame[key] = change(frame[key]) if callable(change) else change
    path.write_text(json.dumps(content))


def frame_entry(timestep: int, camera: int, angle: float, focal: float, width: int, height: int) -> dict[str, Any]:
    """An entry of the transforms: a camera that looks at the origin, turned by `angle` (radians) from the front."""
    sin, cos = math.sin(angle), math.cos(angle)
    name = f"{timestep:05d}_{camera:02d}.png"
    return {
        "timestep_index": timestep,
        "timestep_index_original": timestep,
        "timestep_id": f"{timestep:05d}",
        "camera_index": camera,
        "camera_id": f"cam{camera:02d}",
        "cx": width / 2,
        "cy": height / 2,
        "fl_x": focal,
        "fl_y": focal,
        "h": height,
        "w": width,
        "camera_angle_x": 2 * math.atan(width / (2 * focal)),
        "camera_angle_y": 2 * math.atan(height / (2 * focal)),
        # Looks at the origin from the front (+z), turned about the vertical axis.
        "transform_matrix": [
            [cos, 0.0, sin, CAMERA_DISTANCE * sin],
            [0.0, 1.0, 0.0, 0.0],
            [-sin, 0.0, cos, CAMERA_DISTANCE * cos],
            [0.0, 0.0, 0.0, 1.0],
        ],
        "file_path": f"images/{name}",
        "fg_mask_path": f"fg_masks/{name}",
        "flame_param_path": f"flame_param/{timestep:05d}.npz",
    }


def _draw(folder: Path, frame: dict[str, Any], center: np.ndarray, radius: float) -> None:
    """A disc of the head's size, shaded from left to right, with a soft edge of a pixel, on white."""
    camera_to_world = np.array(frame["transform_matrix"])
    x, y, z = camera_to_world[:3, :3].T @ (center - camera_to_world[:3, 3])
    focal = frame["fl_x"]
    column, row = frame["cx"] - focal * x / z, frame["cy"] + focal * y / z
    rows, columns = np.mgrid[: frame["h"], : frame["w"]] + 0.5
    size = focal * radius / -z
    alpha = np.clip(size - np.hypot(columns - column, rows - row) + 0.5, 0, 1)[..., None]
    shade = np.clip(0.5 + (columns - column) / (4 * size), 0, 1)[..., None]
    color = shade * np.array([0.9, 0.6, 0.5])
    for key, pixels in (("file_path", alpha * color + 1 - alpha), ("fg_mask_path", alpha[..., 0])):
        path = folder / frame[key]
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.round(255 * pixels).astype(np.uint8)).save(path)


def tiny_record(head: HeadModel, canonical_row: int) -> CaptureRecord:
    """A capture of four moments without cameras or pictures; the last one is for testing."""
    timesteps = torch.tensor([0, 3, 4, 9])
    return CaptureRecord(
        head_model=head,
        flame_params=tiny_motion(head, 4),
        timesteps=timesteps,
        canonical_row=canonical_row,
        train_timesteps=timesteps[:3],
        test_timesteps=timesteps[3:],
        train_camera_centers=torch.zeros(3, 3),
        background=torch.ones(3),
    )
