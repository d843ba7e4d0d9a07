"""Settings of the avatar, its field and its training. Presets fill in those that are None."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from sage_ns.avatar.correction import CorrectionSource
from sage_ns.avatar.growth.densification import DensificationSettings
from sage_ns.avatar.look import Look, WrinkleRule
from sage_ns.field.sdf import FieldConfig, FieldNetwork
from sage_ns.raster.types import Distortion
from sage_ns.training.losses import LossWeights
from sage_ns.training.tracking_refinement import RefineTracking

AppearanceSource = Literal["pictures", "field"]
Primitives = Literal["surfels", "gaussians"]
FieldTeacher = Literal["median", "hit"]
FieldWarp = Literal["none", "rigid", "rig", "mononphm"]


NOTHING = "none"
"""Value of `LearnerConfig.complete_from` that completes nobody."""


@dataclass
class FieldSettings(FieldNetwork):
    """Size of the signed distance field; the preset fills in what is None."""

    num_levels: int | None = None
    """levels of the feature grid; None = the preset's"""
    log2_table_size: int | None = None
    """base-2 logarithm of the largest table of a level; levels with more vertices are hashed; None = the preset's"""
    finest: int | None = None
    """vertices along an edge of the finest level; None = the preset's"""

    def settled(self) -> FieldConfig:
        """Return the field's config; settings that are still None take the defaults of :class:`FieldConfig`."""
        return FieldConfig(**{name: value for name, value in asdict(self).items() if value is not None})


@dataclass
class LearnerConfig:
    """Settings of the avatar, its field and the losses."""

    primitives: Primitives = "surfels"
    """surfels = discs, spread over the rig in the colours of the pictures; gaussians = 3D Gaussians as in
    GaussianAvatars, one for each triangle at first"""
    num_surfels: int | None = None
    """number of surfels; None = the preset's (paper: 150,000, small: 30,000); not used by gaussians"""
    densification: DensificationSettings = field(default_factory=DensificationSettings)
    """how the number of 3D Gaussians grows"""
    start_from: Path | None = None
    """avatar file (.npz) on the same head model; training starts from its surfels (to fine-tune an imported avatar)"""
    complete_from: str = NOTHING
    """what a new avatar starts from where pictures show nothing: people = the prior over people that comes with
    sage_ns; a file of sage-prior = another prior; fill = bounded hair, the far side mirrored, the rest in the nearest
    seen colours of its part; none = what the pictures allow. From several pictures, only what none of them shows is
    taken from there"""
    residual_steps: int = 150
    """with complete-from and one picture: steps that change the completed person smoothly to fit it, before phase 1"""
    sh_degree: int = 1
    """degree of the view-dependent colour, 0 to 3"""
    sh_degree_every: float = 0.0
    """fraction of phase 1 after which the next degree of the view-dependent colour is trained; 0 trains all degrees
    from the first step"""
    random_background: bool = True
    """train with a random background colour per step; pictures without masks keep the capture's colour"""
    supersampling: int = 2
    """draw at this multiple of the resolution and average; edges then get the partial coverage of a camera's pixels"""
    hair_reach: float = 0.08
    """largest distance of hair from scalp and neck [metres]; 0 keeps all surfels at the rig, as GaussianAvatars does"""
    scale_limit: float = 0.6
    """limit of the surfels' scales, in triangle scales; a hinge loss penalises larger ones (GaussianAvatars)"""
    hair_scale_limit: float = 2.0
    """the same limit where hair can grow: a surfel can be as long as a straight piece of hair"""
    mouth: bool = True
    """show teeth, tongue and palate of a prior in an opening mouth; no picture shows the person's own"""
    mouth_prior: Path | None = None
    """file of the prior (.npz of sage-mouth-prior); None = the prior that is part of this package"""
    mouth_from_pictures: bool = False
    """where pictures of the canonical moment look into the mouth: give the teeth the brightness that they show, and fit
    neither skin nor lips to them"""
    mouth_in_training: bool = True
    """draw the mouth in training, and teach surfels to keep clear of it; False = only drawings of the finished avatar
    have it, as in the paper"""
    dark_interior: bool = True
    """darken the inside of the head where a camera sees it"""
    refine_tracking: RefineTracking = "auto"
    """fit the tracked pose of the canonical moment to the reconstructed surface: auto = if the surface shows that the
    tracking is wrong; always; never"""
    tune_motion: bool = False
    """train the FLAME parameters of the training moments together with the surfels, as GaussianAvatars does by default;
    other moments keep the tracker's"""
    refine_frames: bool = False
    """learn a small rigid correction of the tracked head for every training moment, between 40 and 80 % of phase 1;
    evaluation uses the tracked head all the same"""
    correction: bool = True
    """stretch, rotate and move surfels as the skin around them deforms from its canonical state"""
    correction_source: CorrectionSource = "carried"
    """deformation that the correction uses: carried and transport = blended over the skin around a surfel; similarity =
    that of the neighbours' triangles (the paper's); gradient = the same with shear; controlled = as transport, and
    surfels near those that expressions move far follow them (EAvatar's)"""
    correction_gamma: float = 0.0
    """how much the correction shortens surfels where the surface bends (gamma of the paper's Eq. 16); 0 disables it"""
    room_light: bool = False
    """learn the light of the room, which stays where it is when the head turns; for pictures of a turning head"""
    exposure: bool = False
    """learn a gain of each colour for every training picture: for a camera with automatic exposure"""
    fill_unseen: bool = False
    """at the end of phase 1, give surfels that no picture shows the colours of seen ones nearby, and hold them; with
    complete-from, they keep what they started from instead"""
    wrinkles: float = 0.1
    """how much rendering darkens skin that an expression compresses; 0 disables wrinkles"""
    wrinkle_rule: WrinkleRule = "area"
    """what wrinkles are recognised by: area = lost area of skin; rendered = the paper's rule, error of the rendered
    normals (strength: wrinkles) and distortion (strength: wrinkle-dimming)"""
    wrinkle_dimming: float = 0.0
    """with wrinkle-rule rendered: how much rendering dims pixels with a high distortion; 0 disables it"""
    distortion: Distortion = "centre"
    """depths that depth_distortion compares: centre = of the surfels' centres, as gsplat does; hit = of the ray's hits,
    as 2DGS does"""
    rebind_every: int = 200
    """steps between two rebindings of surfels to their nearest triangle; 0 disables rebinding"""
    rebind_until: float = 0.6
    """fraction of phase 1 after which no surfel is rebound"""
    regularise_from: float = 0.1
    """fraction of phase 1 after which the losses depth_distortion and normal_consistency act"""
    with_sdf: bool = True
    """optimise a signed distance field together with the surfels"""
    networks: bool | None = None
    """predict the surfels' attributes with networks over the field; False = train each surfel's attributes directly;
    None = the preset's (paper: True, small: False)"""
    networks_alone: bool = False
    """with networks: surfels have no free details beside the prediction, and its gradients also move them (the paper's
    way); False = each surfel learns details of its own"""
    sdf: FieldSettings = field(default_factory=FieldSettings)
    """grid and network of the field"""
    prior_mesh: Path | None = None
    """closed mesh of the person's head (.ply, .obj or .glb, in any unit and place) that another program has made; it is
    laid onto the tracked head, and the field starts from its shape and keeps its place and size; None = the field
    starts from the tracked head"""
    levels_at_start: float = 6.0
    """number of levels of the field's grid that are used from the first step; finer levels follow"""
    levels_open_by: float = 0.4
    """fraction of phase 1 after which all levels are used"""
    num_rays: int | None = None
    """rays through the field per step; None = the preset's"""
    num_surface_points: int | None = None
    """surfels per step that are compared with the field's surface; None = the preset's"""
    surfel_share: float = 0.0
    """share of the gradient of surface_distance that moves the surfels; 1 in the paper. Pictures place surfels better
    than a surface that is still in training (docs/lab_notebook.md); with 0, only the surface moves"""
    field_teacher: FieldTeacher = "median"
    """depth of the surfels that the field follows: median = of the centre that uses up half of the light; hit = blended
    over the ray's hits, as in the paper, which lies behind the surface where light shines through"""
    field_warp: FieldWarp = "none"
    """how rays of other moments than the canonical one reach the field: rigid = with the skull, for heads that only
    turn; rig = with the nearest triangles of the rig, which also follow jaw and lids; mononphm = with MonoNPHM's
    network; none = only rays of the canonical moment teach it"""
    mononphm_checkpoint: Path | None = None
    """for field-warp mononphm: checkpoint_epoch_N.tar of MonoNPHM's global model"""
    mononphm_tracking: Path | None = None
    """for field-warp mononphm: folder stage1/SEQUENCE or stage2/SEQUENCE that MonoNPHM's tracker wrote; frames have the
    numbers of the capture's timesteps"""
    normal_share: float = 1.0
    """share of the gradient of normal_alignment that turns the surfels; the surface has the better normals"""
    ray_samples: tuple[int, int] = (48, 16)
    """samples per ray: number to find the surface, and number to render it"""
    losses: LossWeights = field(default_factory=LossWeights)
    """weight of each loss"""

    def look(self) -> Look:
        """Return the look of the avatar."""
        return Look(
            supersampling=self.supersampling,
            correction=self.correction,
            mouth=self.mouth,
            dark_interior=self.dark_interior,
            wrinkles=self.wrinkles,
            wrinkle_rule=self.wrinkle_rule,
            wrinkle_dimming=self.wrinkle_dimming,
            correction_source=self.correction_source,
            correction_gamma=self.correction_gamma,
            distortion=self.distortion,
        )


@dataclass
class SelfSuperviseConfig:
    """Settings of phase 2, which teaches expressions."""

    driving_bank: Path | None = None
    """motion to teach: any file or folder that sage-render --motion takes; None = the driving motion in the capture's
    folder, else generated expressions"""
    appearance_rays: int = 2048
    """pixels per step of phase 2 that are compared with the canonical appearance; 0 disables this loss"""
    appearance_source: AppearanceSource = "pictures"
    """source of the canonical colours: pictures = those of the canonical moment; field = the field (the paper's way)"""
    appearance_everywhere: float = 0.3
    """share of these pixels that are drawn from all of the head: what looks right has to stay so. The others are drawn
    where normals disagree and surfels of a ray are apart; 0 = all of them (the paper's way)"""
    freeze_appearance: bool | None = None
    """freeze the appearance network during phase 2; None = if appearance-source is field: the target would move
    otherwise"""
    hold_hair: bool = True
    """freeze the surfels of the hair during phase 2: no loss determines how posed hair looks, and the surface losses
    alone press it flat; False = they are trained like all others (the paper's way)"""
    split_deforming: bool = False
    """between the phases, split up to 5 % of the surfels where the driving bank stretches the skin most, and give up as
    many that hardly show in the pictures; their number stays the same"""
    anchor: float = 1.0
    """weight of the losses on real pictures, which every second step of phase 2 fits; with 0, every step teaches"""
    pseudo_views: str = "none"
    """pictures that no camera took, to train on beside the real ones: start = renderings of the avatar that training
    starts from, which count where no picture shows the head; a folder of sage-capture views; none"""
    pseudo_super_resolution: str = "none"
    """enlarge the pseudo views of a folder: none, bicubic, bicubic-3, bicubic-4, or a file of a network's weights;
    their coarse colours stay"""
    pseudo_share: float = 0.5
    """with pseudo-views: share of the steps that show one of them"""

    @property
    def freezes_appearance(self) -> bool:
        """Whether phase 2 freezes the appearance network."""
        chosen = self.freeze_appearance
        return self.appearance_source == "field" if chosen is None else chosen


def require(value: int | None, name: str) -> int:
    """Return a size that a preset must fill in before an avatar is built.

    Raises:
        ValueError: it is None.
    """
    if value is None:
        raise ValueError(f"{name} is not set: apply a preset (sage_ns.plugin.presets) or give a number")
    return value
