"""What can be set about the avatar, its field and its training. Presets fill in what is left at None."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from sage_ns.avatar.look import Look
from sage_ns.field.sdf import FieldConfig, FieldNetwork
from sage_ns.training.losses import LossWeights

AppearanceSource = Literal["pictures", "field"]


@dataclass
class FieldSettings(FieldNetwork):
    """Size of the signed distance field, as far as it is set."""

    num_levels: int | None = None
    """levels of the feature grid; None = the preset's"""
    log2_table_size: int | None = None
    """levels with more vertices than 2 to this are hashed; None = the preset's"""
    finest: int | None = None
    """vertices along an edge of the finest level; None = the preset's"""

    def settled(self) -> FieldConfig:
        """The field's config; what is still open takes the defaults of :class:`FieldConfig`."""
        return FieldConfig(**{name: value for name, value in asdict(self).items() if value is not None})


@dataclass
class LearnerConfig:
    """What is drawn, and what it is asked to look like."""

    num_surfels: int | None = None
    """number of surfels; None = the preset's (paper 150,000, small 30,000)"""
    start_from: Path | None = None
    """avatar file whose surfels training starts from, on the same head model (to fine-tune an imported avatar)"""
    sh_degree: int = 1
    """degree of the view-dependent colour, 0 to 3"""
    random_background: bool = True
    """train on a random background colour per step; without masks the capture's own colour is used"""
    supersampling: int = 2
    """draw at this many times the resolution and average, which gives edges the partial coverage that a camera sees"""
    hair_reach: float = 0.08
    """how far hair may stand off scalp and neck [metres]; 0 holds all surfels to the rig as GaussianAvatars does"""
    scale_limit: float = 0.6
    """limit of the scales, in triangle scales; a hinge pulls larger ones back (GaussianAvatars)"""
    hair_scale_limit: float = 2.0
    """the same limit where hair may grow: a surfel can be as long as a strand of hair is straight"""
    mouth: bool = True
    """show teeth, tongue and palate in an opening mouth, as a prior has them: no picture shows this person's"""
    mouth_prior: Path | None = None
    """file of that prior (sage-mouth-prior makes one); None = the prior that is shipped"""
    dark_interior: bool = True
    """darken the inside of the head where it comes into view"""
    tracking_prior: float = 0.75
    """strength of the prior that keeps the refined tracking of the canonical moment near the tracker's; 0 disables
    refinement"""
    correction: bool = True
    """stretch, turn and carry surfels as the skin around them deforms, away from the canonical moment"""
    wrinkles: float = 0.1
    """how much skin darkens where an expression pushes it together, when rendering; 0 turns wrinkles off"""
    rebind_every: int = 200
    """steps between two rebindings of surfels to their nearest triangle; 0 turns rebinding off"""
    rebind_until: float = 0.6
    """fraction of phase 1 after which bindings stay"""
    regularise_from: float = 0.1
    """fraction of phase 1 after which distortion and normal consistency act"""
    with_sdf: bool = True
    """optimise a signed distance field together with the surfels"""
    networks: bool | None = None
    """predict the surfels' attributes by networks over the field; False = each surfel has its own attributes; None =
    the preset's (paper: networks, small: own attributes)"""
    sdf: FieldSettings = field(default_factory=FieldSettings)
    """grid and network of the field"""
    levels_at_start: float = 6.0
    """levels of the field's grid that are open at first; the finer ones open later"""
    levels_open_by: float = 0.4
    """fraction of phase 1 after which all levels are open"""
    num_rays: int | None = None
    """rays through the field per step; None = the preset's"""
    num_surface_points: int | None = None
    """surfels per step that are held to the field's surface; None = the preset's"""
    surfel_share: float = 0.0
    """share of the pull between surfels and surface that moves the surfels; the paper's is 1. Pictures place surfels
    better than a surface that is still being found (docs/lab_notebook.md), therefore only the surface follows"""
    normal_share: float = 1.0
    """share of the alignment between surfels and surface that turns the surfels: the surface has the better normals"""
    ray_samples: tuple[int, int] = (48, 16)
    """samples per ray: to find the surface, and to render it"""
    losses: LossWeights = field(default_factory=LossWeights)
    """weight of each loss"""

    def look(self) -> Look:
        """What is drawn, as configured."""
        return Look(
            supersampling=self.supersampling,
            correction=self.correction,
            mouth=self.mouth,
            dark_interior=self.dark_interior,
            wrinkles=self.wrinkles,
        )


@dataclass
class SelfSuperviseConfig:
    """What phase 2 teaches, and what it holds posed heads to."""

    driving_bank: Path | None = None
    """motion to teach: a file or folder that sage-render drives from, too; None = the capture's own driving motion, or
    made-up expressions where the capture has none"""
    appearance_rays: int = 2048
    """pixels per step of phase 2 that are held to the canonical appearance; 0 leaves this loss out"""
    appearance_source: AppearanceSource = "pictures"
    """where the canonical colours come from: the pictures of the canonical moment, or the field (the paper's way)"""
    anchor: float = 1.0
    """weight of the losses on real pictures, which every second step of phase 2 is about; 0 = every step teaches"""


def require(value: int | None, name: str) -> int:
    """A size that a preset has to fill in before an avatar is built.

    Raises:
        ValueError: nobody has set it.
    """
    if value is None:
        raise ValueError(f"{name} is not set: apply a preset (sage_ns.plugin.presets) or give a number")
    return value
