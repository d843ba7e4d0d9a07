"""Make a capture folder for `ns-train` from arrays: pictures, masks, cameras and FLAME parameters.

    python examples/02_capture_from_arrays.py avatar.npz my_capture

In this example, an avatar replaces the person, the cameras and the tracker. With your own data, make a
`CameraPicture` for every picture, and give one row of FLAME parameters per moment.
"""

import math
import sys
from dataclasses import replace

import numpy as np
import torch

import sage_ns
from sage_ns.capture.writer import CameraPicture, write_capture
from sage_ns.rig import concatenate

avatar_file, out = sys.argv[1:3]
avatar = sage_ns.Avatar.load(avatar_file)

# FLAME parameters of the person, one row per moment (metres and radians). Here the mouth opens over three moments.
closed = avatar.neutral()
params = concatenate([replace(closed, jaw_pose=torch.tensor([[angle, 0.0, 0.0]])) for angle in (0.0, 0.15, 0.3)])

# Five cameras on an arc in front of the head, as matrices in the world of the FLAME parameters.
front = avatar.front_camera(width=200, height=250)
cameras = [sage_ns.orbit(front, closed.translation[0], math.radians(angle)) for angle in (-40, -20, 0, 20, 40)]

pictures = []
for timestep in range(params.num_timesteps):
    for index, camera in enumerate(cameras):
        buffers = avatar.draw(camera, avatar.fit(params[timestep])[0])
        # OpenCV uses world-to-camera with y down and z forward. A capture uses camera-to-world with y up and z back:
        # invert the matrix, then negate its second and third column.
        to_camera = camera.T_camera_world.double().numpy()
        camera_to_world = np.linalg.inv(to_camera) @ np.diag([1.0, -1.0, -1.0, 1.0])
        pictures.append(
            CameraPicture(
                timestep=timestep,  # a row of the parameters
                camera_index=index,
                camera_to_world=camera_to_world,
                intrinsics=camera.intrinsics.numpy(),  # fx 0 cx, 0 fy cy, 0 0 1, in pixels
                image=buffers.composite(torch.ones(3)).clamp(0, 1).numpy(),  # on white; 0..1, or uint8
                mask=buffers.alpha[..., 0].clamp(0, 1).numpy(),  # soft, 1 is the head
                # Train on all moments but the last; hold one camera out to measure new views.
                split="test" if timestep == 2 else "val" if index == 2 else "train",
            )
        )

folder = write_capture(out, pictures, params)

# The rig that the parameters belong to. For FLAME, copy flame2023.pkl there instead, or give it as --head-model.
sage_ns.save_head_model(avatar.rig.head_model, folder / "head_model.npz")
print(f"{len(pictures)} pictures in {folder}\ncheck it:  sage-capture inspect {out}")
print(f"train it:  ns-train sage-multiview --data {out} flame-capture")
