"""The avatar: a person's rig, the surfels on it and the motion that was recorded; posed, placed and drawn."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sage_ns.avatar.correction import SurfelCorrection
from sage_ns.avatar.growth.rebinding import is_hair
from sage_ns.avatar.interior import interior_shade
from sage_ns.avatar.kept import asks_for_gradients
from sage_ns.avatar.look import Look
from sage_ns.avatar.mouth import Mouth, joined, without_insides
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.portrait import portrait_camera
from sage_ns.avatar.poses import Pose, Poses
from sage_ns.avatar.surfels import BoundSurfels, SurfelAttributes, take_sizes
from sage_ns.avatar.wrinkles import wrinkle_shade
from sage_ns.errors import FlameParamsError
from sage_ns.motion.source import MotionSource
from sage_ns.raster import Buffers, PinholeCamera, Surfels, rasterize
from sage_ns.raster.supersampling import downsampled, enlarged
from sage_ns.rig import FlameParams


class Avatar(nn.Module):
    """All that is needed to animate and draw one person; neither capture nor training is.

    Args:
        rig: the person's.
        surfels: on that rig.
        motion: the recorded motion, and which moment of it is the canonical one.
        interior: triangles whose inside is dark, see `interior_triangles`.
        mouth: its inside; None where the rig has no mouth that a jaw opens.
        background: colour that pictures are composited over, 0..1.
        look: what is shown.
    """

    interior: Tensor
    background: Tensor
    settled: Tensor

    def __init__(
        self,
        rig: PersonalRig,
        surfels: BoundSurfels,
        motion: MotionSource,
        interior: Bool[Tensor, "num_triangles"],
        mouth: Mouth | None,
        background: Float[Tensor, "3"],
        look: Look,
    ) -> None:
        super().__init__()
        self.rig = rig
        self.surfels = surfels
        self.motion = motion
        self.mouth = mouth
        self.look = look
        self.register_buffer("interior", interior)
        self.register_buffer("background", background.clone())
        # Canonical centres that the correction goes by from phase 2 on; before it, those of the moment.
        self.register_buffer("settled", torch.zeros(0, 3))
        # Not modules and not checkpointed: they can be rebuilt.
        self.poses = Poses(rig)
        self._skin: Bool[Tensor, "num_triangles"] | None = None

    @property
    def device(self) -> torch.device:
        """Where the avatar's tensors are."""
        return self.background.device

    # ---- drawing -----------------------------------------------------------------------------------------------

    def place(
        self,
        camera_center: Float[Tensor, "3"],
        motion: Float[Tensor, "num_coefficients"],
        look: Look | None = None,
        attributes: SurfelAttributes | None = None,
        template: Float[Tensor, "num_vertices 3"] | None = None,
    ) -> Surfels:
        """All surfels in the world [metres] under ``motion``, coloured as seen from ``camera_center``.

        Gradients reach what is learned; ``motion`` and ``template`` as well, where they require them. Then the rig is
        posed anew at every call; else poses are constants, and kept.

        Args:
            look: what is shown; the avatar's own where none is given.
            attributes: stand in for the surfels' own.
            template: unposed head [metres] in place of the rig's own, for instance `identity_vertices` of a shape that
                tracking changes. The inside of the mouth stays that of the rig's own.
        """
        look = look or self.look
        pose = self.poses.at(motion, template)
        surfels = self.surfels.place(pose.frames, camera_center, self._shade(pose, camera_center, look), attributes)
        if look.correction:
            surfels = self.correction.apply(surfels, self.poses.deformation(pose, self.correction))
        if self.mouth is not None and look.mouth:
            unseen = self.interior & self.mouth.around
            surfels = without_insides(surfels, self.surfels.triangle, unseen, pose.frames, camera_center)
            surfels = joined(surfels, self.mouth.place(motion, camera_center))
        return surfels if look.surfel_size == 1.0 else replace(surfels, scales=look.surfel_size * surfels.scales)

    def draw_fine(
        self,
        camera: PinholeCamera,
        motion: Float[Tensor, "num_coefficients"],
        look: Look | None = None,
        attributes: SurfelAttributes | None = None,
        template: Float[Tensor, "num_vertices 3"] | None = None,
    ) -> Buffers:
        """Rasterise the avatar, supersampled and not yet averaged; arguments and gradients as of :meth:`place`."""
        look = look or self.look
        placed = self.place(camera.center, motion, look, attributes, template)
        return rasterize(placed, enlarged(camera, look.supersampling))

    def draw(
        self, camera: PinholeCamera, motion: Float[Tensor, "num_coefficients"], look: Look | None = None
    ) -> Buffers:
        """The avatar under ``motion`` as ``camera`` sees it, at the camera's resolution.

        Without gradients, unless ``motion`` requires them; then they also reach what is learned.
        """
        look = look or self.look
        with torch.set_grad_enabled(asks_for_gradients(motion)):
            return downsampled(self.draw_fine(camera, motion, look), look.supersampling)

    def render(
        self,
        params: FlameParams | Float[Tensor, "num_coefficients"],
        camera: PinholeCamera,
        background: Float[Tensor, "3"] | None = None,
    ) -> Float[Tensor, "h w 3"]:
        """One moment as a picture, 0..1, over the avatar's own background or another; gradients as of :meth:`draw`.

        Raises:
            FlameParamsError: the parameters are of more than one moment, or do not fit the rig.
        """
        if isinstance(params, FlameParams):
            if params.num_timesteps != 1:
                raise FlameParamsError(f"render: found {params.num_timesteps} timesteps, expected one: index them")
            params = self.fit(params)[0]
        buffers = self.draw(camera.to(self.device), params.to(self.device))
        return buffers.composite(self.background if background is None else background).clamp(0.0, 1.0)

    def front_camera(self, width: int, height: int) -> PinholeCamera:
        """A camera in front of the face, as it is at the canonical moment; the size is in pixels."""
        motion = self.motion.canonical()
        return portrait_camera(self.poses.at(motion).vertices, motion, width, height)

    def _shade(self, pose: Pose, camera_center: Float[Tensor, "3"], look: Look) -> Float[Tensor, "num_triangles"]:
        """Factor on the colours of each triangle's surfels; gradients reach the pose."""
        shade = torch.ones_like(pose.frames.scale)
        if look.dark_interior and not (self.mouth is not None and look.mouth):  # else its walls hide all that is inside
            shade = interior_shade(self.interior, pose.frames, camera_center)
        if look.wrinkles > 0:
            rest = self.poses.at(self.motion.canonical())
            triangles = self.rig.head_model.triangles
            if self._skin is None:
                self._skin = self.rig.head_model.regions.triangle_mask("face", triangles)
            shade = shade * wrinkle_shade(rest.vertices, pose.vertices, triangles, self._skin, look.wrinkles)
        return shade

    # ---- motion ------------------------------------------------------------------------------------------------

    def neutral(self) -> FlameParams:
        """One moment: the head as at the canonical moment, jaw closed, eyes straight, no expression."""
        params = FlameParams.from_motion_vector(self.motion.canonical()[None])
        zero = torch.zeros_like
        return replace(params, jaw_pose=zero(params.jaw_pose), eyes_pose=zero(params.eyes_pose), expr=zero(params.expr))

    def fit(self, params: FlameParams) -> Float[Tensor, "num_timesteps num_coefficients"]:
        """Somebody's motion as motion vectors of this avatar; whose head it was does not matter.

        Raises:
            FlameParamsError: more expression coefficients are in use than the rig has.
        """
        anybody = replace(params, shape=params.shape[:0], static_offset=None)
        return self.motion.fit(anybody.check_fits(self.rig.head_model).motion_vector().to(self.device))

    # ---- correction --------------------------------------------------------------------------------------------

    @cached_property
    def correction(self) -> SurfelCorrection:
        """Corrects posed surfels; made when it is first asked for."""
        pose = self.poses.at(self.motion.canonical())
        with torch.no_grad():
            means = self.settled if self.is_settled else self.surfels.centers(pose.frames)
        return SurfelCorrection(means, self.surfels.triangle, self.rig.head_model, pose.vertices)

    @torch.no_grad()
    def settle(self) -> None:
        """From here on the correction goes by where surfels are now, wherever training moves them; once, for phase 2.

        Kept in checkpoints: neighbourhoods are looked for once, and a resumed training has the same.
        """
        if not self.is_settled:
            self.settled = self.surfels.centers(self.poses.at(self.motion.canonical()).frames)
            self.forget()

    def hair(self) -> Bool[Tensor, "num_surfels"]:
        """Surfels of the hair, by where they have settled."""
        rig, frames = self.rig, self.poses.at(self.motion.canonical()).frames
        return is_hair(self.settled, self.surfels.triangle, rig.head_model, frames)

    @property
    def is_settled(self) -> bool:
        """Whether phase 2 has begun."""
        return len(self.settled) > 0

    def forget(self) -> None:
        """Surfels or rig are others: what was derived from them is made anew when asked for."""
        vars(self).pop("correction", None)
        self._skin = None
        self.poses.clear()

    # ---- files -------------------------------------------------------------------------------------------------

    def save(self, path: Path | str) -> None:
        """Write the avatar to one file that needs nothing else, see `sage_ns.avatar.avatar_file`."""
        from sage_ns.avatar.avatar_file import save_avatar

        save_avatar(self, Path(path))

    @classmethod
    def load(cls, path: Path | str) -> Avatar:
        """Read a file that `save` wrote.

        Raises:
            AvatarFileError: it is missing, broken or of another kind; names file and field.
        """
        from sage_ns.avatar.avatar_file import load_avatar

        return load_avatar(Path(path))

    def _apply(self, *args: Any, **kwargs: Any) -> Avatar:
        self.forget()
        return super()._apply(*args, **kwargs)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        self.forget()
        take_sizes(self, ("settled", "interior"), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)
