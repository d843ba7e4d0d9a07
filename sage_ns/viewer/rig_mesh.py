"""The tracked head as a half-transparent mesh over the avatar, in the viewer's scene."""

from __future__ import annotations

import viser
from jaxtyping import Float, Int
from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO
from torch import Tensor

_NAME = "/rig_mesh"
_COLOR = (120, 160, 220)
_OPACITY = 0.55


class RigMesh:
    """The posed rig as a half-transparent, flat-shaded mesh that can be hidden.

    Args:
        scene: the viewer's scene.
        triangles: triangles of the rig.
    """

    def __init__(self, scene: viser.SceneApi, triangles: Int[Tensor, "num_triangles 3"]) -> None:
        self._scene = scene
        self._triangles = triangles.cpu().numpy()
        self._handle: viser.MeshHandle | None = None
        self._vertices: Float[Tensor, "num_vertices 3"] | None = None
        self.is_shown = False

    def follow(self, vertices: Float[Tensor, "num_vertices 3"]) -> None:
        """Set the vertices [metres, world]; the next :meth:`send` shows them."""
        self._vertices = vertices

    def send(self) -> None:
        """Send changes to the page; does nothing if there are none."""
        if not self.is_shown:
            if self._handle is not None:
                self._handle.remove()
                self._handle = None
            return
        vertices, self._vertices = self._vertices, None
        if vertices is not None:
            # viser's meshes cannot be moved; a mesh of the same name replaces the previous one.
            self._handle = self._scene.add_mesh_simple(
                _NAME,
                (VISER_NERFSTUDIO_SCALE_RATIO * vertices).cpu().numpy(),
                self._triangles,
                color=_COLOR,
                opacity=_OPACITY,
                flat_shading=True,
            )
