"""A tiny capture of one camera and a head that turns, for tests: the tiny head, ray cast, lit from the room's corner.

The pictures obey a closed form: every pixel is the mean over its rays of ``tiny_albedo`` times ``tiny_light`` of the
surface's normal in the axes of the camera, on white. Nothing shines and nothing casts shadows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.rig import FlameParams, HeadModel, pose_vertices, save_head_model
from sage_ns.synthetic.light import Caster
from sage_ns.synthetic.surface import vertex_normals
from tests.tiny import tiny_head_model
from tests.tiny_capture import frame_entry, write_transforms

FRONT = 0
"""Index of the camera that stands still; 1 and 2 stand at -45 and 45 degrees."""
AZIMUTHS = (0.0, -45.0, 45.0)
LIGHT = np.array([0.35, 0.25, 0.15])
"""Light of the room (camera axes: from the camera's right, from above, from the camera), around a mean of 1."""
_FOCAL_PER_WIDTH = 3.4
_RAYS = 3


def write_tiny_turning(
    folder: Path,
    num_turning: int = 8,
    num_test: int = 2,
    width: int = 32,
    height: int = 40,
    yaw: float = 60.0,
    pitch: float = 20.0,
    facing: float = 0.0,
    moving_camera: bool = False,
    gains: Sequence[float] | None = None,
    masks: bool = True,
    model: HeadModel | None = None,
) -> Path:
    """Write a monocular capture: train = the turning head by camera 0, val = the other cameras at timestep 0, test =
    moments with expression by all three cameras.

    Args:
        folder: Folder to write, with ``head_model.npz``.
        num_turning: Training moments; the first is frontal with the mouth slightly open.
        num_test: Moments with expression.
        width: Pixels.
        height: Pixels.
        yaw: Largest turn to each side in degrees; 0 with a pitch of 0 = no turn at all.
        pitch: Largest nod in degrees.
        facing: Degrees added to the yaw of all training moments; 180 = no picture shows the face.
        moving_camera: The same pictures, written as trackers such as metrical-tracker do: the head is still and the
            camera moves around it. The room then turns with the camera.
        gains: Exposure of every training picture (factor on the head's colours); default: 1.
        masks: Write masks and name them in the transforms.
        model: Head model; default: the tiny one.

    Returns:
        The folder.
    """
    model = tiny_head_model() if model is None else model
    folder.mkdir(parents=True, exist_ok=True)
    save_head_model(model, folder / "head_model.npz")
    params = turning_motion(model, num_turning, num_test, yaw, pitch, facing)
    vertices = pose_vertices(model, params).double().numpy()
    albedo = tiny_albedo(model)
    written = params
    if moving_camera:
        rotation = params.rotation.clone()
        rotation[:num_turning] = 0.0
        written = replace(params, rotation=rotation)
    written.save_vhap(folder / "flame_param")
    replace(written[0], jaw_pose=torch.tensor([[0.3, 0.0, 0.0]])).save_vhap(folder / "canonical_flame_param.npz")
    frames = []
    for timestep in range(num_turning + num_test):
        everywhere = timestep == 0 or timestep >= num_turning
        for camera in range(len(AZIMUTHS)) if everywhere else (FRONT,):
            frame = frame_entry(
                timestep, camera, math.radians(AZIMUTHS[camera]), _FOCAL_PER_WIDTH * width, width, height
            )
            is_turning = camera == FRONT and timestep < num_turning
            gain = 1.0 if gains is None or not is_turning else gains[timestep]
            _draw(folder, frame, vertices[timestep], model, albedo, gain)
            if moving_camera and timestep < num_turning:
                frame["transform_matrix"] = _seen_from_head(frame["transform_matrix"], model, params, timestep)
            if not masks:
                del frame["fg_mask_path"]
            frames.append(frame)
    train = [f for f in frames if f["timestep_index"] < num_turning and f["camera_index"] == FRONT]
    write_transforms(folder / "transforms.json", frames)
    write_transforms(folder / "transforms_train.json", train)
    val = [f for f in frames if f["timestep_index"] == 0 and f["camera_index"] != FRONT]
    write_transforms(folder / "transforms_val.json", val)
    write_transforms(folder / "transforms_test.json", [f for f in frames if f["timestep_index"] >= num_turning])
    return folder


def turning_motion(
    model: HeadModel, num_turning: int, num_test: int, yaw: float = 60.0, pitch: float = 20.0, facing: float = 0.0
) -> FlameParams:
    """Return a turn to one side, to the other and back with nods (root joint), then moments with expression."""
    num = num_turning + num_test
    p = torch.arange(num_turning) / num_turning
    rotation = torch.zeros(num, 3)
    rotation[:num_turning, 0] = math.radians(pitch) * (4 * math.pi * p).sin()
    rotation[:num_turning, 1] = math.radians(yaw) * (2 * math.pi * p).sin() + math.radians(facing)
    expr, jaw = torch.zeros(num, model.num_expression), torch.full((num,), 0.04)
    expr[1:num_turning, 1] = 0.05 * (6 * math.pi * p[1:]).cos()  # the first moment is the calmest of the frontal ones
    ramp = torch.linspace(0.5, 1.0, num_test)
    expr[num_turning:, 0], jaw[num_turning:] = ramp, 0.2 * ramp
    zeros = torch.zeros(num, 3)
    return FlameParams(
        shape=torch.zeros(model.num_shape),
        expr=expr,
        rotation=rotation,
        neck_pose=zeros,
        jaw_pose=torch.stack([jaw, zeros[:, 0], zeros[:, 0]], dim=-1),
        eyes_pose=torch.zeros(num, 6),
        translation=zeros,
        static_offset=torch.zeros(model.num_vertices, 3),
    )


def tiny_albedo(model: HeadModel) -> np.ndarray:
    """Return smooth colours [v, 3] of the vertices, which differ between front, back, sides, top and bottom."""
    place = model.v_template.double().numpy() / 0.12
    return np.clip(0.5 + 0.3 * place[:, [2, 0, 1]] + [0.1, 0.0, 0.0], 0.1, 0.9)


def tiny_light(normals: np.ndarray) -> np.ndarray:
    """Return the brightness of surfaces whose unit normals [..., 3] are given in the axes of the camera."""
    return 1.0 + normals @ LIGHT


def _seen_from_head(pose: list[list[float]], model: HeadModel, params: FlameParams, timestep: int) -> Any:
    """Return a camera's pose relative to the root of the head, with the root at its place without rotation."""
    root = (model.joint_regressor @ model.v_template)[0].double().numpy()
    head = np.eye(4)
    head[:3, :3] = axis_angle_to_matrix(params.rotation[timestep]).double().numpy()
    head[:3, 3] = root - head[:3, :3] @ root
    return (np.linalg.inv(head) @ np.array(pose)).tolist()


def _draw(
    folder: Path, frame: dict[str, Any], vertices: np.ndarray, model: HeadModel, albedo: np.ndarray, gain: float
) -> None:
    """Cast rays through every pixel, and write the picture on white and the share of rays that hit as the mask."""
    width, height, focal = frame["w"], frame["h"], frame["fl_x"]
    pose, triangles = np.array(frame["transform_matrix"]), model.triangles.numpy()
    rows, columns = (np.mgrid[: height * _RAYS, : width * _RAYS] + 0.5) / _RAYS
    local = np.stack([(columns - frame["cx"]) / focal, (frame["cy"] - rows) / focal, -np.ones_like(rows)], axis=-1)
    directions = local.reshape(-1, 3) @ pose[:3, :3].T
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    triangle, uv, _ = Caster(vertices, triangles).first_hit(np.broadcast_to(pose[:3, 3], directions.shape), directions)
    hit = triangle >= 0
    corners = triangles[triangle[hit]]
    weights = np.stack([1.0 - uv[hit].sum(axis=-1), uv[hit, 0], uv[hit, 1]], axis=-1)[..., None]
    normals = (weights * vertex_normals(vertices, triangles)[corners]).sum(axis=1) @ pose[:3, :3]
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    color = np.ones((len(hit), 3))
    color[hit] = np.clip(gain * tiny_light(normals)[:, None] * (weights * albedo[corners]).sum(axis=1), 0.0, 1.0)
    shape = (height, _RAYS, width, _RAYS)
    pictures = {
        "file_path": color.reshape(*shape, 3).mean(axis=(1, 3)),
        "fg_mask_path": hit.reshape(shape).mean((1, 3)),
    }
    for key, pixels in pictures.items():
        path = folder / frame[key]
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.round(255 * pixels).astype(np.uint8)).save(path)
