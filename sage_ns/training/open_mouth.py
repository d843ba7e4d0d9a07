"""What stands before the open mouth though no picture has shown it; which pixels look in, and what they should show."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.evidence import pixels_filled
from sage_ns.avatar.initialise import carries_hair
from sage_ns.avatar.mouth import Mouth
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.raster import PinholeCamera, rasterize
from sage_ns.raster.cameras import pixel_rays, project
from sage_ns.raster.supersampling import downsampled, enlarged
from sage_ns.system.devices import kept_rows
from sage_ns.training.appearance_consistency import Expected
from sage_ns.training.surface_colors import SurfaceColors

_CLEARED = -5.0
"""Logit of opacity; there is still a gradient, so that what is missed in the pictures comes back."""
_UNSEEN = 0.05
"""Share of the pixels that a surfel of the skin around the mouth commonly fills, below which one counts as hidden."""


def clear_mouth(avatar: Avatar, colors: SurfaceColors) -> Bool[Tensor, "num_surfels"]:
    """Make the surfels around the mouth that no picture of the canonical moment shows transparent [reading].

    Behind closed lips nothing tells their colour: the optimiser makes them whatever shines through the seam best, and
    an opening mouth would carry that before its teeth. What belongs there is the mouth's own. Those in a gap between
    lips, which the mesh has closed but the pictures show, stay.

    Args:
        avatar: changed in place, unless it has no mouth.
        colors: looks points up in the pictures.

    Returns:
        Which they are.
    """
    surfels = avatar.surfels
    if avatar.mouth is None:
        return torch.zeros_like(surfels.triangle, dtype=torch.bool)
    frames = avatar.poses.at(avatar.motion.canonical()).frames
    normals = frames.normal[surfels.triangle]
    around = (avatar.mouth.around & ~carries_hair(avatar.rig.head_model))[surfels.triangle]
    with torch.no_grad():
        shown = around & colors.look_up(surfels.centers(frames), normals, -normals).seen
    canonical = avatar.motion.canonical()
    filled = torch.stack([pixels_filled(avatar, view.camera, canonical) for view in colors.views]).sum(dim=0)
    common = filled[shown].median() if bool(shown.any()) else filled.new_zeros(())
    cleared = around & ~shown & (filled <= _UNSEEN * common)
    with torch.no_grad():
        surfels.opacity_logits[cleared] = surfels.opacity_logits[cleared].clamp_max(_CLEARED)
    return cleared


class OpenMouth:
    """Finds the pixels that look into the mouth, and the colours of the mouth alone there [reading].

    Lips that open turn surfels of the closed seam, which no picture has shown from there, over the teeth. Held to these
    colours they learn to keep clear.

    Args:
        mouth: of the avatar; it is not trained.
        rig: of the person.
        motion: any moment; head and mouth become one mesh there, which is moved to other moments later.
    """

    @torch.no_grad()
    def __init__(self, mouth: Mouth, rig: PersonalRig, motion: Float[Tensor, "num_coefficients"]) -> None:
        self.mouth = mouth
        vertices, triangles = rig.vertices(motion), rig.head_model.triangles
        own = mouth.rig.head_model.triangles
        self._num_head = len(triangles)
        self._used = own.unique()
        inside = mouth.vertices(motion)
        self._mesh = TriangleMesh(torch.cat([vertices, inside]), torch.cat([triangles, own + len(vertices)]))

    @torch.no_grad()
    def __call__(
        self,
        motion: Float[Tensor, "num_coefficients"],
        vertices: Float[Tensor, "num_vertices 3"],
        camera: PinholeCamera,
        supersampling: int,
        background: Float[Tensor, "3"],
    ) -> Expected:
        """Pixels whose rays meet the inside of the mouth before any skin, in the colours of the mouth.

        Args:
            motion: the moment.
            vertices: of the head's mesh at that moment, metres.
            camera: of the picture.
            supersampling: draw the mouth at this many times the resolution.
            background: colour that shines through where the mouth's surfels leave a gap.
        """
        inside = self.mouth.vertices(motion)
        self._mesh.move(torch.cat([vertices, inside]))
        pixel = _pixels_around(inside[self._used], camera)
        origins, directions = (rays.reshape(-1, 3)[pixel] for rays in pixel_rays(camera))
        looks_in = self._mesh.first_hits(origins, directions).triangle >= self._num_head
        rows = kept_rows(looks_in)
        alone = rasterize(self.mouth.place(motion, camera.center), enlarged(camera, supersampling))
        shown = downsampled(alone, supersampling).composite(background).reshape(-1, 3)
        return Expected(pixel[rows], shown[pixel[rows]], looks_in[rows])


def _pixels_around(points: Float[Tensor, "n 3"], camera: PinholeCamera) -> Int[Tensor, "num_pixels"]:
    """Flat indices of the pixels in the rectangle that holds the points; on a device, whose CPU would have to wait for
    the rectangle, of all pixels."""
    height, width = camera.height, camera.width
    if points.device.type != "cpu":
        return torch.arange(height * width, device=points.device)
    seen = project(points, camera)
    rows, columns = (torch.arange(int(at.min()), int(at.max()) + 1) for at in (seen.row, seen.column))
    return (rows[:, None] * width + columns[None]).reshape(-1)
