"""The avatar: a person's rig, the surfels on it and the recorded motion; posing, placing and drawing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sage_ns.avatar.correction import CorrectionSource, SurfelCorrection
from sage_ns.avatar.displacement import beyond_skull, spread_moments
from sage_ns.avatar.evidence import SEEN
from sage_ns.avatar.growth.rebinding import is_hair
from sage_ns.avatar.interior import interior_shade
from sage_ns.avatar.kept import requires_gradients
from sage_ns.avatar.light import RoomLight
from sage_ns.avatar.look import Look
from sage_ns.avatar.mouth import Mouth, joined, without_insides
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.portrait import portrait_camera
from sage_ns.avatar.poses import Pose, Poses
from sage_ns.avatar.surfels import BoundSurfels, SurfelAttributes, take_sizes
from sage_ns.avatar.wrinkles import with_rendered_wrinkles, wrinkle_shade
from sage_ns.errors import FlameParamsError
from sage_ns.motion.source import MotionSource
from sage_ns.raster import Buffers, PinholeCamera, Surfels, rasterize
from sage_ns.raster.supersampling import downsampled, enlarged
from sage_ns.rig import FlameParams, check_plausible


class Avatar(nn.Module):
    """Everything that is needed to animate and draw one person, without the capture and without training.

    Args:
        rig: rig of the person.
        surfels: surfels on that rig.
        motion: the recorded motion and its canonical moment.
        interior: triangles whose inner side is dark, see `interior_triangles`.
        mouth: inside of the mouth; None if the rig has no mouth that a jaw opens.
        background: colour behind the avatar in pictures, 0..1.
        look: default look of drawings.
        light: light of the room; None = the colours of the surfels, and with them all light, turn with the head.
    """

    interior: Tensor
    background: Tensor
    settled: Tensor
    evidence: Tensor
    displacement: Tensor

    def __init__(
        self,
        rig: PersonalRig,
        surfels: BoundSurfels,
        motion: MotionSource,
        interior: Bool[Tensor, "num_triangles"],
        mouth: Mouth | None,
        background: Float[Tensor, "3"],
        look: Look,
        light: RoomLight | None = None,
    ) -> None:
        super().__init__()
        self.rig = rig
        self.surfels = surfels
        self.motion = motion
        self.mouth = mouth
        self.look = look
        self.light = light
        self.provenance = ""
        """Source, date and consent of the pictures as JSON, see `sage_ns.capture.provenance`."""
        self.register_buffer("interior", interior)
        self.register_buffer("background", background.clone())
        # Canonical centres for the correction from phase 2 on; in phase 1 it uses the current centres.
        self.register_buffer("settled", torch.zeros(0, 3))
        # Of each surfel, when it has been measured: pixels that it fills in the picture that shows it best.
        self.register_buffer("evidence", torch.zeros(0))
        # Of each surfel, when it has been measured: how far the driving bank moves it beyond the skull; metres.
        self.register_buffer("displacement", torch.zeros(0))
        # Neither modules nor checkpointed: they can be rebuilt.
        self.poses = Poses(rig)
        self._corrections: dict[tuple[CorrectionSource, float], SurfelCorrection] = {}
        self._skin: Bool[Tensor, "num_triangles"] | None = None

    @property
    def device(self) -> torch.device:
        """Device of the avatar's tensors."""
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
        """Return all surfels in the world [metres] under ``motion``, coloured as seen from ``camera_center``.

        Gradients reach the learned parameters, and ``motion`` and ``template`` if these require gradients. In that case
        every call poses the rig again; otherwise poses are constants and are cached.

        Args:
            look: options of drawing; by default those of the avatar.
            attributes: replace those of the surfels.
            template: unposed head [metres] that replaces the rig's, for instance `identity_vertices` of a shape that
                tracking changes. The inside of the mouth does not change with it.
        """
        look = look or self.look
        pose = self.poses.at(motion, template)
        surfels = self.surfels.place(pose.frames, camera_center, self._shade(pose, camera_center, look), attributes)
        if look.mark_guessed:
            surfels = replace(
                surfels, colors=torch.where(self.guessed()[:, None], _marked(surfels.colors), surfels.colors)
            )
        # How skin stretches is known along its surface only, and 3D Gaussians have no surface.
        if look.correction and surfels.are_flat:
            correction = self.correction_of(look)
            surfels = correction.apply(surfels, self.poses.deformation(pose, correction))
        if self.mouth is not None and look.mouth:
            unseen = self.interior & self.mouth.around
            middle = self.mouth.middle(motion)
            surfels = without_insides(surfels, self.surfels.triangle, unseen, pose.frames, camera_center, middle)
            inside = self.mouth.place(motion, camera_center)
            inside = replace(inside, colors=inside.colors * self.mouth_light(pose, look))
            surfels = joined(surfels, inside)
        return surfels if look.surfel_size == 1.0 else replace(surfels, scales=look.surfel_size * surfels.scales)

    def draw_fine(
        self,
        camera: PinholeCamera,
        motion: Float[Tensor, "num_coefficients"],
        look: Look | None = None,
        attributes: SurfelAttributes | None = None,
        template: Float[Tensor, "num_vertices 3"] | None = None,
    ) -> Buffers:
        """Rasterise the avatar at the supersampled resolution; arguments and gradients as for :meth:`place`."""
        look = look or self.look
        placed = self.place(camera.center, motion, look, attributes, template)
        return rasterize(placed, enlarged(camera, look.supersampling), distortion=look.distortion)

    def draw(
        self, camera: PinholeCamera, motion: Float[Tensor, "num_coefficients"], look: Look | None = None
    ) -> Buffers:
        """Draw the avatar under ``motion`` as ``camera`` sees it, at the camera's resolution.

        Without gradients unless ``motion`` requires them; in that case they also reach the learned parameters.
        """
        look = look or self.look
        with torch.set_grad_enabled(requires_gradients(motion)):
            buffers = self.draw_fine(camera, motion, look)
            if look.wrinkle_rule == "rendered":
                buffers = with_rendered_wrinkles(buffers, look.wrinkles, look.wrinkle_dimming)
            return downsampled(buffers, look.supersampling)

    def render(
        self,
        params: FlameParams | Float[Tensor, "num_coefficients"],
        camera: PinholeCamera,
        background: Float[Tensor, "3"] | None = None,
    ) -> Float[Tensor, "h w 3"]:
        """Render one moment as a picture, 0..1, over ``background`` or the avatar's own; gradients as for :meth:`draw`.

        Raises:
            FlameParamsError: the parameters have several timesteps, do not fit the rig, or no head can have them.
        """
        if isinstance(params, FlameParams):
            if params.num_timesteps != 1:
                found = f"{params.num_timesteps} timesteps"
                raise FlameParamsError(f"render: found {found}, expected one: select it, as in params[0]")
            params = self.fit(params)[0]
        else:
            _check_plausible(FlameParams.from_motion_vector(params[None]))
        buffers = self.draw(camera.to(self.device), params.to(self.device))
        return buffers.composite(self.background if background is None else background).clamp(0.0, 1.0)

    def front_camera(self, width: int, height: int) -> PinholeCamera:
        """Return a camera in front of the face at the canonical moment; the size is in pixels."""
        motion = self.motion.canonical()
        return portrait_camera(self.poses.at(motion).vertices, motion, width, height)

    def _shade(
        self, pose: Pose, camera_center: Float[Tensor, "3"], look: Look
    ) -> Float[Tensor, "num_triangles channels"]:
        """Return the factor on the colours of each triangle's surfels; gradients reach the pose and the light."""
        shade = torch.ones_like(pose.frames.scale)
        mouth_hides_interior = self.mouth is not None and look.mouth
        if look.dark_interior and not mouth_hides_interior:
            shade = interior_shade(self.interior, pose.frames, camera_center)
        if look.wrinkles > 0 and look.wrinkle_rule == "area":
            rest = self.poses.at(self.motion.canonical())
            triangles = self.rig.head_model.triangles
            if self._skin is None:
                self._skin = self.rig.head_model.regions.triangle_mask("face", triangles)
            shade = shade * wrinkle_shade(rest.vertices, pose.vertices, triangles, self._skin, look.wrinkles)
        return shade[:, None] if self.light is None else shade[:, None] * self.light(self._lit_normals(pose, look))

    def _lit_normals(self, pose: Pose, look: Look) -> Float[Tensor, "num_triangles 3"]:
        """Return the normals that the light falls on: as posed, or the canonical ones if it is the head's."""
        lit = pose if look.light == "room" else self.poses.at(self.motion.canonical())
        return lit.smooth_normals

    def mouth_light(self, pose: Pose, look: Look) -> Float[Tensor, "channels"]:
        """Return how the light around the mouth has changed since the canonical moment: factors on the mouth's colours.

        The inside of the mouth is lit by what comes in between the lips, and its colours are those at that moment.
        """
        if self.light is None or self.mouth is None or look.light == "head":
            return torch.ones_like(self.background)
        # Weighed sums, not selected rows: how many these are is known on the device alone.
        around = self.mouth.around[:, None]
        rest = self.poses.at(self.motion.canonical())
        now, then = ((self.light(each.smooth_normals) * around).sum(dim=0) for each in (pose, rest))
        return now / then

    def lit_surfels(self) -> BoundSurfels:
        """Return the surfels with the light of the canonical moment in their colours: for programs without lights."""
        if self.light is None:
            return self.surfels
        with torch.no_grad():
            normals = self.poses.at(self.motion.canonical()).smooth_normals
            return self.surfels.lit(self.light(normals))

    # ---- motion ------------------------------------------------------------------------------------------------

    def neutral(self) -> FlameParams:
        """Return the canonical moment with closed jaw, straight eyes and no expression."""
        params = FlameParams.from_motion_vector(self.motion.canonical()[None])
        zero = torch.zeros_like
        return replace(params, jaw_pose=zero(params.jaw_pose), eyes_pose=zero(params.eyes_pose), expr=zero(params.expr))

    def fit(self, params: FlameParams) -> Float[Tensor, "num_timesteps num_coefficients"]:
        """Convert the motion of any head to motion vectors of this avatar; the identity of that head is dropped.

        Motion that is wrong as a whole is refused. What a living head merely does not reach stays as it is, to allow
        exaggeration; `sage_ns.motion.limits.within_limits` clamps it.

        Raises:
            FlameParamsError: expression coefficients that the rig does not have are not 0, or no head can have the
                motion (`check_plausible`: angles in degrees, absurd values, values that are not finite).
        """
        without_identity = replace(params, shape=params.shape[:0], static_offset=None)
        _check_plausible(without_identity)
        return self.motion.fit(without_identity.check_fits(self.rig.head_model).motion_vector().to(self.device))

    # ---- correction --------------------------------------------------------------------------------------------

    @property
    def correction(self) -> SurfelCorrection:
        """Correction of posed surfels by the avatar's own look; computed at first use."""
        return self.correction_of(self.look)

    def correction_of(self, look: Look) -> SurfelCorrection:
        """Return the correction of posed surfels by ``look``; computed at first use of its source and gamma."""
        rule = look.correction_source, look.correction_gamma
        if rule not in self._corrections:
            pose = self.poses.at(self.motion.canonical())
            with torch.no_grad():
                means = self.settled if self.is_settled else self.surfels.centers(pose.frames)
            model = self.rig.head_model
            moved = self.displacement if len(self.displacement) > 0 else None
            self._corrections[rule] = SurfelCorrection(means, self.surfels.triangle, model, pose.vertices, *rule, moved)
        return self._corrections[rule]

    @torch.no_grad()
    def settle(self) -> None:
        """Fix the canonical centres that the correction uses to the current ones; only the first call has an effect.

        Phase 2 calls this at its start. Checkpoints contain the centres: resumed trainings have the same correction.
        """
        if not self.is_settled:
            self.settled = self.surfels.centers(self.poses.at(self.motion.canonical()).frames)
            self.invalidate()

    @torch.no_grad()
    def measure_displacement(self, motions: Float[Tensor, "num_moments num_coefficients"]) -> None:
        """Measure how far motions move each surfel beyond the skull, for the correction `controlled`.

        Phase 2 calls this at its start with moments of its driving bank. Checkpoints and avatar files keep the result.
        """
        canonical = self.motion.canonical()
        moments = spread_moments(motions).to(canonical)
        self.displacement = beyond_skull(self.rig, self.surfels.centers, canonical, moments)
        self.invalidate()

    def hair(self) -> Bool[Tensor, "num_surfels"]:
        """Return which surfels are hair, by their settled centres."""
        rig, frames = self.rig, self.poses.at(self.motion.canonical()).frames
        return is_hair(self.settled, self.surfels.triangle, rig.head_model, frames)

    def guessed(self) -> Bool[Tensor, "num_surfels"]:
        """Return which surfels no picture shows; none if that has not been measured."""
        if len(self.evidence) == 0:
            return torch.zeros_like(self.surfels.triangle, dtype=torch.bool)
        return self.evidence < SEEN

    @property
    def is_settled(self) -> bool:
        """Whether :meth:`settle` has fixed the centres, which happens when phase 2 begins."""
        return len(self.settled) > 0

    def invalidate(self) -> None:
        """Drop everything derived from surfels and rig; it is computed again on demand."""
        self._corrections.clear()
        self._skin = None
        self.poses.clear()

    # ---- files -------------------------------------------------------------------------------------------------

    def save(self, path: Path | str) -> None:
        """Write the avatar to one self-contained file, see `sage_ns.avatar.avatar_file`."""
        from sage_ns.avatar.avatar_file import save_avatar

        save_avatar(self, Path(path))

    @classmethod
    def load(cls, path: Path | str) -> Avatar:
        """Load an avatar from a file that `save` wrote.

        Raises:
            AvatarFileError: the file is missing, broken or of another kind; the message names file and field.
        """
        from sage_ns.avatar.avatar_file import load_avatar

        return load_avatar(Path(path))

    def _apply(self, *args: Any, **kwargs: Any) -> Avatar:
        self.invalidate()
        return super()._apply(*args, **kwargs)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if len(self.displacement) == 0:  # older versions read what does not need it
            del destination[f"{prefix}displacement"]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        self.invalidate()
        # Older versions measured neither of these. nerfstudio also loads states without any of the avatar's tensors.
        if f"{prefix}settled" in state_dict:
            state_dict.setdefault(f"{prefix}evidence", torch.zeros(0))
            state_dict.setdefault(f"{prefix}displacement", torch.zeros(0))
        take_sizes(self, ("settled", "evidence", "displacement", "interior"), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _marked(colors: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Return colours that are told at a glance from those of a head, and still show its shape."""
    return 0.4 * colors + 0.6 * colors.new_tensor([0.25, 0.45, 0.95])


def _check_plausible(params: FlameParams) -> None:
    check_plausible(params, lambda row: f"the given parameters: row {row}")
