"""What nerfstudio's viewer shows when it opens: the face, upright and from the front."""

from __future__ import annotations

import math

import torch
import viser
from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO, Viewer
from nerfstudio.viewer.viewer_elements import ViewerControl, ViewerSlider

from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.model import SageModel

HEAD_FRACTION = 0.65
"""How much of the window's height the head fills when the viewer opens."""

FIELD_OF_VIEW = math.radians(30)
"""Vertical; that of a portrait lens. With nerfstudio's 75 degrees a camera comes so near that noses grow."""


def wrinkle_slider(model: SageModel) -> ViewerSlider:
    """How much folding skin darkens; what is rendered follows at once."""

    def follow(slider: ViewerSlider) -> None:
        model.avatar.look.wrinkles = float(slider.value)

    return ViewerSlider(
        "Wrinkles", model.avatar.look.wrinkles, 0.0, 1.0, 0.05, cb_hook=follow, hint="darkens skin that is pushed together"
    )


class FrontView(ViewerControl):
    """Places every browser that connects in front of the head. The viewer finds this among the pipeline's attributes.

    nerfstudio's viewer takes z for up; the world here is FLAME's, with y up and the face towards +z.

    Args:
        model: the avatar; looked at in the pose that the time slider starts with.
    """

    def __init__(self, model: SageModel) -> None:
        self.model = model

    def _setup(self, viewer: Viewer) -> None:
        super()._setup(viewer)
        motion = self.model.motion.at_time(0.0)
        low, high = self.model.rig.vertices(motion).cpu().aminmax(dim=0)
        self.center = (low + high) / 2
        self.height = float(high[1] - low[1])
        head, neck = axis_angle_to_matrix(motion[3:9].cpu().reshape(2, 3))
        self.forward = head @ neck @ torch.tensor([0.0, 0.0, 1.0])
        self.viser_server.scene.set_up_direction("+y")
        self.viser_server.on_client_connect(self._show_face)

    def _show_face(self, client: viser.ClientHandle) -> None:
        camera = client.camera
        distance = self.height / HEAD_FRACTION / (2 * math.tan(FIELD_OF_VIEW / 2))
        position = self.center + distance * self.forward
        with client.atomic():
            camera.fov = FIELD_OF_VIEW
            camera.position = (VISER_NERFSTUDIO_SCALE_RATIO * position).numpy()
            camera.look_at = (VISER_NERFSTUDIO_SCALE_RATIO * self.center).numpy()
            camera.up_direction = (0.0, 1.0, 0.0)
