"""Animate an avatar with a driver's motion and write a video.

    python examples/01_animate_from_npz.py avatar.npz motion.npz [video.mp4]

The motion is an npz with `expr`, `rotation`, `neck_pose`, `jaw_pose`, `eyes_pose`, `translation` (one row per moment)
and `shape`, as VHAP and GaussianAvatars write it, or any other input of `sage-render --motion`. An output name without
a suffix makes a folder of PNGs. The command `sage-render` calls the same function.
"""

import sys

import sage_ns

avatar_file, motion_file = sys.argv[1:3]
video_file = sys.argv[3] if len(sys.argv) > 3 else "video.mp4"

avatar = sage_ns.Avatar.load(avatar_file)

# The driver provides pose and expression, but not the shape of the head. The avatar's head stays in its place; neck,
# jaw, eyes and expression move. With `follow_head=True`, the head also follows the driver's head.
made = sage_ns.reenact(avatar, motion_file, avatar.front_camera(width=400, height=500), video_file, overwrite=True)
print(f"{made.num_frames} frames, {made.seconds:.1f} s, written to {made.path}")

# Without an output, nothing is written: each picture is drawn on access.
frames = sage_ns.reenact(avatar, motion_file, "orbit", width=400, height=500, relative=True).frames
print(f"{len(frames)} more could be drawn; the first is a tensor of {tuple(frames[0].shape)}")
