"""What ties the signed distance field to pictures and surfels: rays, points on the surface, losses by name."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.canonical import Canonical
from sage_ns.avatar.light import RoomLight
from sage_ns.avatar.surfels import BoundSurfels, SurfelAttributes
from sage_ns.field.warp.backward import BackwardWarp
from sage_ns.geometry.rotations import quaternion_multiply, quaternion_to_matrix
from sage_ns.geometry.triangles import TriangleFrames
from sage_ns.raster import Buffers, PinholeCamera
from sage_ns.raster.cameras import pixel_rays
from sage_ns.rig import HeadModel
from sage_ns.system.devices import sent
from sage_ns.training import losses
from sage_ns.training.config import FieldTeacher, LearnerConfig, require
from sage_ns.training.losses import Terms
from sage_ns.training.prior_shape import PriorShape

_ON_SURFACE = 1.0
"""Triangle scales; a surfel farther from its triangle is hair (GaussianAvatars' limit for skin)."""
_OPAQUE, _REACHED = 0.95, 0.5
"""Coverage from which a ray's depth and normal are those of one surface: of the surfels, of the field. Where the field
is hardly there, its depth is a quotient of two small numbers: one such ray's gradient was 500 times a whole step's,
threw the surface off by millimetres, and stayed in Adam's memory for the rest of the training."""


class FieldSupervision:
    """Draws rays and surface points for a training step. All randomness is a function of seed and step.

    Args:
        canonical: field and networks.
        head_model: whose hair region carries surfels that do not lie on a surface.
        num_rays: rays per step.
        num_points: surfels per step whose centres are held to the surface.
        surfel_share: how much of the pull between surfels and surface acts on where the surfels are.
        normal_share: how much of their alignment acts on how they are turned.
        seed: of the draws.
        teacher: depth of the surfels that the field follows.
        prior: points of a prior mesh, whose place and size the field's surface keeps; None without one.
    """

    def __init__(
        self,
        canonical: Canonical,
        head_model: HeadModel,
        num_rays: int,
        num_points: int,
        surfel_share: float,
        normal_share: float,
        seed: int,
        teacher: FieldTeacher = "median",
        prior: PriorShape | None = None,
    ) -> None:
        self.canonical = canonical
        self.prior = prior
        self.teacher = teacher
        self.num_rays = num_rays
        self.num_points = num_points
        self.surfel_share = surfel_share
        self.normal_share = normal_share
        self.seed = seed
        # The surface goes straight over strands of hair, and over the gap between the lips, which is to stay dark.
        regions, triangles = head_model.regions, head_model.triangles
        self._is_covered = (regions.triangle_mask("hair", triangles) | regions.triangle_mask("lips", triangles)).to(
            triangles.device
        )

    @classmethod
    def of(
        cls,
        config: LearnerConfig,
        canonical: Canonical,
        head_model: HeadModel,
        seed: int,
        prior: PriorShape | None = None,
    ) -> FieldSupervision:
        """Supervision as the settings have it."""
        return cls(
            canonical,
            head_model,
            require(config.num_rays, "num_rays"),
            require(config.num_surface_points, "num_surface_points"),
            config.surfel_share,
            config.normal_share,
            seed,
            config.field_teacher,
            prior,
        )

    def _generator(self, step: int, purpose: int) -> torch.Generator:
        return torch.Generator().manual_seed((self.seed * 1_000_003 + step) * 7 + purpose)

    # ---- rays ----------------------------------------------------------------------------------------------------

    def ray_terms(
        self,
        step: int,
        camera: PinholeCamera,
        truth: Float[Tensor, "h w 3"],
        mask: Float[Tensor, "h w 1"] | None,
        background: Float[Tensor, "3"],
        buffers: Buffers,
        warp: BackwardWarp | None = None,
        steady: Float[Tensor, "h w 1"] | None = None,
        light: RoomLight | None = None,
    ) -> Terms:
        """Volume rendering against picture, mask, and the surfels' depth and normal (L_C, L_m, L_D, L_N of Eq. 12).

        Args:
            camera: of the picture.
            truth: the picture over ``background``.
            buffers: what the surfels show there; constants.
            warp: from the picture's moment to the canonical one; None for a picture of the canonical moment.
            steady: above 0.5 where a pixel shows what moves with the skull, or background that such things border on;
                None = everywhere. Depth and normal are taught there alone. Through a warp that does not follow jaw and
                lids, colour and silhouette are, too.
            light: light of the room on the surface that the rays meet; a constant.
        """
        pixels = self._pixels(step, mask if mask is not None else buffers.alpha.detach(), steady)
        origins, directions = (each.reshape(-1, 3)[pixels] for each in pixel_rays(camera))
        length = torch.linalg.vector_norm(directions, dim=-1)
        jitter = sent(torch.rand(len(pixels), generator=self._generator(step, 1)), length.device)
        seen = self.canonical.renderer(
            self.canonical.field, self.canonical.radiance, origins, directions / length[:, None], jitter, warp=warp
        )

        def chosen(image: Tensor) -> Tensor:
            return image.detach().reshape(-1, image.shape[-1])[pixels]

        # By default not the expected depth of the hits: those lie most of a millimetre behind the true surface, and
        # what shines through a head from its far side weighs 15 cm behind. The median of the centres does not.
        taught = buffers.depth_median if self.teacher == "median" else buffers.depth
        alpha, depth = chosen(buffers.alpha)[:, 0], chosen(taught)[:, 0]
        normal = torch.nn.functional.normalize(chosen(buffers.normal), dim=-1)
        reached = seen.alpha[:, 0]
        solid = ((alpha > _OPAQUE) & (reached > _REACHED)).to(depth)
        shown = seen.color
        if light is not None:
            shown = shown * light(torch.nn.functional.normalize(seen.normal.detach(), dim=-1)).detach()
        counts = None
        if steady is not None:
            is_steady = (chosen(steady) > 0.5).to(depth)
            solid = solid * is_steady[:, 0]
            counts = is_steady if warp is not None and not warp.follows_parts else None

        def counted(values: Tensor) -> Tensor:
            return values if counts is None else counts * values

        reached = reached.clamp_min(_REACHED)
        terms: Terms = {
            "field_color": lambda: losses.field_color(
                counted(shown + (1 - seen.alpha) * background), counted(chosen(truth))
            ),
            "field_depth": lambda: losses.field_depth(seen.depth[:, 0] / reached / length, depth, solid),
            "field_normal": lambda: losses.field_normal(
                torch.nn.functional.normalize(seen.normal, dim=-1), normal, solid
            ),
            "eikonal": lambda: losses.eikonal(seen.gradients),
        }
        if mask is not None:
            terms["field_silhouette"] = lambda: losses.silhouette(
                counted(seen.alpha)[:, None], counted(chosen(mask))[:, None]
            )
        return terms

    def _pixels(
        self, step: int, foreground: Float[Tensor, "h w 1"], steady: Float[Tensor, "h w 1"] | None = None
    ) -> Tensor:
        """Flat pixel indices, foreground first: twice as many are drawn as are kept.

        Of the foreground, what is ``steady`` comes first; background that is not comes before the background that is,
        of which the last rays are taken.
        """
        flat = foreground.reshape(-1)
        drawn = torch.randint(flat.shape[0], (2 * self.num_rays,), generator=self._generator(step, 0))
        drawn = sent(drawn, flat.device)
        is_background = flat[drawn] < 0.5
        if steady is None:
            order = torch.sort(is_background, stable=True).indices
        else:  # 0 steady foreground, 1 other foreground, 2 other background, 3 steady background
            is_steady = (steady.reshape(-1)[drawn] > 0.5).int()
            order = torch.sort(torch.where(is_background, 2 + is_steady, 1 - is_steady), stable=True).indices
        # A twentieth at least is background, where there is any, so that nothing grows there unseen.
        num_last = self.num_rays // 20
        return drawn[torch.cat([order[: self.num_rays - num_last], order[len(order) - num_last :]])]

    # ---- points ----------------------------------------------------------------------------------------------------

    def point_terms(
        self, step: int, surfels: BoundSurfels, attributes: SurfelAttributes, frames: TriangleFrames
    ) -> Terms:
        """Surfels on the surface, facing along its normal, and a calm field around (L_sdf, L_align, smoothness); with a
        prior mesh, the surface in its place.

        Args:
            attributes: of the surfels at this step.
            frames: of the rig at the canonical moment.
        """
        chosen = self._surface_surfels(step, surfels)
        triangle = surfels.triangle[chosen]
        positions = _damped(surfels.centers(frames)[chosen], self.surfel_share)
        to_world = frames[triangle].quaternion
        local = torch.nn.functional.normalize(attributes.quaternions[chosen], dim=-1)
        normals = _damped(quaternion_to_matrix(quaternion_multiply(to_world, local))[..., 2], self.normal_share)
        field = self.canonical.field
        sample = field.evaluate(positions, gradient=True)
        gradient = sample.gradient
        assert gradient is not None
        opacity = torch.sigmoid(attributes.opacity_logits.detach()[chosen])
        nearby = positions[: self.num_points // 4].detach()
        offset = sent(torch.randn(nearby.shape, generator=self._generator(step, 3)), nearby.device)
        terms: Terms = {
            "surface_distance": lambda: losses.surface_distance(sample.distance, opacity),
            "normal_alignment": lambda: losses.normal_alignment(normals, gradient, opacity),
            "tracked_normal": lambda: losses.tracked_normal(frames.normal[triangle], gradient),
            "smoothness": lambda: losses.smoothness(
                gradient[: len(nearby)], self._gradient(nearby + field.finest_open_cell * offset)
            ),
        }
        if self.prior is not None:
            prior = self.prior
            drawn = torch.randint(len(prior.points), (self.num_points,), generator=self._generator(step, 4))
            chosen_prior = sent(drawn, nearby.device)
            terms["prior_alignment"] = lambda: losses.prior_alignment(*prior.zero_set(field, chosen_prior))
        return terms

    def _gradient(self, positions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        gradient = self.canonical.field.evaluate(positions, gradient=True).gradient
        assert gradient is not None
        return gradient

    def _surface_surfels(self, step: int, surfels: BoundSurfels) -> Tensor:
        """Indices of surfels on skin; about ``num_points``, fewer where there is hair."""
        drawn = torch.randint(surfels.num_surfels, (2 * self.num_points,), generator=self._generator(step, 2))
        drawn = sent(drawn, surfels.triangle.device)
        is_skin = ~self._is_covered[surfels.triangle[drawn]]
        is_skin &= torch.linalg.vector_norm(surfels.means.detach()[drawn], dim=-1) <= _ON_SURFACE
        if drawn.device.type == "cpu":
            return drawn[is_skin][: self.num_points]
        # Their number is known on the device alone. Always as many are taken, those on skin first and over again.
        skin_first = torch.sort(~is_skin, stable=True).indices
        places = torch.arange(self.num_points, device=drawn.device) % is_skin.sum().clamp_min(1)
        return drawn[skin_first[places]]


def _damped(values: Float[Tensor, "*shape"], share: float) -> Float[Tensor, "*shape"]:
    """The same values; gradients that flow back through them are multiplied by ``share``."""
    return values.detach() + share * (values - values.detach())
