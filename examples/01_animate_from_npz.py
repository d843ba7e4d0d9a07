"""Animate an avatar with somebody's motion and write a video.

    python examples/01_animate_from_npz.py avatar.npz motion.npz [video.mp4]

The motion is an npz with `expr`, `rotation`, `neck_pose`, `jaw_pose`, `eyes_pose`, `translation` (one row per moment)
and `shape`, as VHAP and GaussianAvatars write it, or a folder with one npz per moment. A name without an ending gives a
folder of PNGs. The command for everyday use, with sound, cameras and more formats, is `sage-render`.
"""

import sys
from pathlib import Path

from sage_ns.avatar.avatar import Avatar
from sage_ns.rig import FlameParams
from sage_ns.video.writer import write_pictures

avatar_file, motion_file = sys.argv[1:3]
video_file = Path(sys.argv[3] if len(sys.argv) > 3 else "video.mp4")

avatar = Avatar.load(avatar_file)
driver = FlameParams.load(motion_file)

# Whose motion it is does not matter: `fit` takes pose and expression and leaves the driver's head shape behind.
# One row per moment; the slices of FlameParams (HEAD, NECK, JAW, EYES, EXPRESSION) name its parts.
motion = avatar.fit(driver)

# The driver's head may have been anywhere. Ours stays where it is; neck, jaw, eyes and expression move.
motion[:, FlameParams.HEAD] = avatar.neutral().motion_vector()[0, FlameParams.HEAD]

camera = avatar.front_camera(width=400, height=500)

# A generator: one picture after the other, so that a long video needs no more memory than a short one.
pictures = (avatar.render(row, camera) for row in motion)
write_pictures(video_file, pictures, fps=25)
print(f"{len(motion)} moments, written to {video_file}")
