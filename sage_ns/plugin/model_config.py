"""What can be set about the avatar and its losses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nerfstudio.models.base_model import ModelConfig

from sage_ns.avatar.look import Look
from sage_ns.field.sdf import FieldConfig
from sage_ns.training.losses import LossWeights


def _model() -> type:
    from sage_ns.plugin.model import SageModel

    return SageModel


@dataclass
class SageModelConfig(ModelConfig):
    """What is drawn and what it is asked to look like."""

    _target: type = field(default_factory=_model)
    enable_collider: bool = False
    """cameras are rendered whole; there are no rays to clip"""
    num_surfels: int = 0
    """how many surfels; 0 = as the preset says (paper 150,000, small 30,000)"""
    start_from: Path | None = None
    """avatar file whose surfels training starts from, on the same head model: an imported avatar is fine-tuned so"""
    sh_degree: int = 1
    """degree of the view-dependent colour, 0 to 3"""
    random_background: bool = True
    """train on a random background colour per step; needs masks, otherwise the capture's is used"""
    supersampling: int = 2
    """draw at this many times the resolution and average: edges cover pixels in part, as a camera sees them"""
    hair_reach: float = 0.08
    """how far hair may stand off scalp and neck [metres]; 0 = hold all surfels to the rig as GaussianAvatars does"""
    scale_limit: float = 0.6
    """scales above this are pulled back, in triangle scales (GaussianAvatars)"""
    hair_scale_limit: float = 2.0
    """the same where hair may be: a surfel can be as long as a strand of hair is straight"""
    mouth: bool = True
    """show teeth, tongue and palate in an opening mouth; no picture has shown this person's, so they are a prior's"""
    mouth_prior: Path | None = None
    """file of that prior (sage-mouth-prior makes one); the shipped one where none is given"""
    dark_interior: bool = True
    """darken the inside of the head, where it comes into view"""
    tracking_prior: float = 0.75
    """how much the tracking of the canonical moment is believed when it is refined on the surface that phase 1 has
    found; 0 = it is not refined"""
    correction: bool = True
    """stretch, turn and carry surfels as the skin around them deforms, when posed away from the canonical moment"""
    wrinkles: float = 0.1
    """how much skin darkens where an expression pushes it together, when rendering; 0 = not at all"""
    rebind_every: int = 200
    """steps between rebindings of surfels to the triangle that is nearest by then; 0 = never"""
    rebind_until: float = 0.6
    """fraction of the training after which bindings stay"""
    regularise_from: float = 0.1
    """fraction of the training after which distortion and normal consistency act"""
    with_sdf: bool = True
    """optimise a signed distance field together with the surfels"""
    networks: bool | None = None
    """predict the surfels' attributes by networks over the field; False = each surfel has its own; None = as the preset
    says (paper: predict, small: own)"""
    sdf: FieldConfig = field(default_factory=FieldConfig)
    """the field's grid and network"""
    levels_at_start: float = 6.0
    """levels of the field's grid that are open at first: coarse to fine"""
    levels_open_by: float = 0.4
    """fraction of the training after which all of them are"""
    num_rays: int = 0
    """rays through the field per step; 0 = as the preset says"""
    num_surface_points: int = 0
    """surfels per step that are held to the field's surface; 0 = as the preset says"""
    surfel_share: float = 0.0
    """of the pull between surfels and surface, what acts on where the surfels are; the paper's is 1. Images place them
    better than a surface that is still to be found (docs/benchmarks.md): the surface is to follow"""
    normal_share: float = 1.0
    """of the alignment of surfels with the surface, what turns the surfels: its normals are better than theirs"""
    ray_samples: tuple[int, int] = (48, 16)
    """samples per ray: that find the surface, that are rendered"""
    losses: LossWeights = field(default_factory=LossWeights)
    """weight of each loss"""
    lpips_weights: Path | None = None
    """torchvision's AlexNet weights for the LPIPS metric; torch.hub's cache is searched when not given"""

    def look(self) -> Look:
        """What is drawn, as configured."""
        return Look(
            supersampling=self.supersampling,
            correction=self.correction,
            mouth=self.mouth,
            dark_interior=self.dark_interior,
            wrinkles=self.wrinkles,
        )
