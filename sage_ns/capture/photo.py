"""Checks of the one picture that an avatar is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.decode import read_header
from sage_ns.capture.frames import Frame
from sage_ns.capture.head_direction import seen_from
from sage_ns.errors import CaptureError
from sage_ns.rig import FlameParams, HeadModel

FARTHEST_TURN = 60.0
"""Degrees between the camera and the front of the face; beyond it, one side of the face is a guess."""
_LEAST_INSIDE = 0.6
"""Share of the face that the picture has to contain."""


def check_photo(
    frames: Sequence[Frame],
    moments: Mapping[int, FlameParams],
    model: HeadModel,
    vertices: Float[Tensor, "num_vertices 3"],
    use_masks: bool = True,
) -> None:
    """Check that there is one picture with a mask, which shows a face from its front.

    Args:
        frames: training frames of the canonical moment; at least one.
        moments: parameters by timestep id.
        model: head model of the capture.
        vertices: of the tracked head at that moment [metres].
        use_masks: whether masks are read.

    Raises:
        CaptureError: there are several pictures, the picture has no mask, or it does not show the face.
    """
    frame = frames[0]
    if len(frames) > 1:
        cameras = ", ".join(str(each.camera_index) for each in frames[:12])
        raise CaptureError(
            f"{frame.source}: found {len(frames)} training pictures of timestep {frame.timestep}, expected one: an "
            f"avatar from one picture. Name its camera with --cameras INDEX (there are {cameras}), or train on all of "
            "them with sage-multiview."
        )
    if not use_masks or (frame.mask_path is None and "A" not in read_header(frame.image_path).bands):
        raise CaptureError(
            f"{frame.source}: the picture {frame.image_path} has no mask, but it has to show where the head ends. "
            "Make a mask and name it as 'fg_mask_path' (VHAP: --matting_method), or give a picture with alpha; "
            "--use-masks has to stay True."
        )
    _check_face(frame, moments, model, vertices)


def _check_face(
    frame: Frame, moments: Mapping[int, FlameParams], model: HeadModel, vertices: Float[Tensor, "num_vertices 3"]
) -> None:
    off = float(seen_from([frame], moments, model).off_front)
    if off > FARTHEST_TURN:
        raise CaptureError(
            f"{frame.source}: the tracked face is turned away from the camera by {off:.0f} degrees; expected at most "
            f"{FARTHEST_TURN:.0f}. Give a picture that shows both eyes, or check the tracking."
        )
    face = model.regions.vertices("face")
    points = (vertices[face] if len(face) else vertices).double()
    to_camera = torch.linalg.inv(torch.from_numpy(frame.camera_to_world).double())
    local = points @ to_camera[:3, :3].T + to_camera[:3, 3]
    depth = (-local[:, 2]).clamp_min(1e-6)
    x, y = frame.fx * local[:, 0] / depth + frame.cx, frame.cy - frame.fy * local[:, 1] / depth
    inside = (local[:, 2] < 0) & (x >= 0) & (x < frame.width) & (y >= 0) & (y < frame.height)
    share = float(inside.double().mean())
    if share < _LEAST_INSIDE:
        raise CaptureError(
            f"{frame.source}: the picture contains {share:.0%} of the tracked face; expected at least "
            f"{_LEAST_INSIDE:.0%}. Give a picture of the whole face, or check camera and tracking."
        )
