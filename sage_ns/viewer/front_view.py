"""First view of nerfstudio's viewer: in front of the face, upright."""

from __future__ import annotations

import viser
from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO, Viewer
from nerfstudio.viewer.viewer_elements import ViewerControl

from sage_ns.avatar.portrait import FIELD_OF_VIEW, portrait_distance
from sage_ns.rig.front import face_direction
from sage_ns.viewer.viewed_model import ViewedModel


class FrontView(ViewerControl):
    """Places the camera of every browser that connects in front of the head.

    The viewer finds this object among the pipeline's attributes. nerfstudio's viewer has z up; the world here is
    FLAME's, with y up and the face towards +z.

    Args:
        model: its avatar is viewed in the pose that the time slider starts with.
    """

    def __init__(self, model: ViewedModel) -> None:
        self.model = model

    def _setup(self, viewer: Viewer) -> None:
        super()._setup(viewer)
        avatar = self.model.avatar
        motion = avatar.motion.at_time(0.0)
        vertices, motion = avatar.rig.vertices(motion).cpu(), motion.cpu()
        low, high = vertices.aminmax(dim=0)
        self.center = (low + high) / 2
        self.position = self.center + portrait_distance(vertices) * face_direction(motion)
        self.viser_server.scene.set_up_direction("+y")
        self.viser_server.on_client_connect(self._show_face)

    def _show_face(self, client: viser.ClientHandle) -> None:
        camera = client.camera
        with client.atomic():
            camera.fov = FIELD_OF_VIEW
            camera.position = (VISER_NERFSTUDIO_SCALE_RATIO * self.position).numpy()
            camera.look_at = (VISER_NERFSTUDIO_SCALE_RATIO * self.center).numpy()
            camera.up_direction = (0.0, 1.0, 0.0)
