"""Render an avatar from the front. No GPU, no capture and no nerfstudio are needed.

    python examples/00_render_on_cpu.py avatar.npz [picture.png]

`sage-export avatar avatar.npz --load-config RUN/config.yml` writes an avatar file from a training run.
"""

import sys

from PIL import Image

import sage_ns

avatar_file = sys.argv[1]
picture_file = sys.argv[2] if len(sys.argv) > 2 else "picture.png"

# The file contains the rig, the surfels on it, and the recorded motion.
avatar = sage_ns.Avatar.load(avatar_file)

# One moment of FLAME parameters: looking ahead, mouth closed, no expression.
params = avatar.neutral()

# A camera (OpenCV axes, metres) that shows the whole head; the size is in pixels.
camera = avatar.front_camera(width=400, height=500)

# A float picture [height, width, 3]: red, green and blue in 0..1.
picture = avatar.render(params, camera)

Image.fromarray(sage_ns.to_pixels(picture)).save(picture_file)
print(f"{len(avatar.surfels.triangle)} surfels, written to {picture_file}")
