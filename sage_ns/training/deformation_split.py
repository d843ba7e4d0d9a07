"""Between the phases: split the surfels that the driving bank stretches, see `growth.deformation_splitting`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from sage_ns.avatar.displacement import beyond_skull, largest_stretch, spread_moments
from sage_ns.avatar.evidence import pixels_filled
from sage_ns.avatar.growth.deformation_splitting import Split, choose_split, split_in_place
from sage_ns.avatar.growth.rebinding import is_hair
from sage_ns.motion.bank import DrivingBank
from sage_ns.system.console import console
from sage_ns.training.learner import Learner
from sage_ns.training.phase import ShotSource


class DeformationSplit:
    """Splits surfels once, after the last step of phase 1; the optimisers continue with the new rows.

    Args:
        learner: the avatar in training.
        shots: whose pictures weigh the surfels.
        bank: expressions of phase 2.
    """

    def __init__(self, learner: Learner, shots: ShotSource, bank: DrivingBank) -> None:
        self.learner, self.shots, self.bank = learner, shots, bank

    @torch.no_grad()
    def __call__(self, optimizers: Mapping[str, Optimizer]) -> Split:
        """Split the surfels, and print how many; these steps wait for the device."""
        learner = self.learner
        learner.bake()
        avatar, rig, surfels = learner.avatar, learner.rig, learner.surfels
        canonical = learner.motion.canonical()
        motions = spread_moments(self.bank.motion.vectors).to(canonical)
        stretch = largest_stretch(rig, surfels, canonical, motions)
        displacement = beyond_skull(rig, surfels.centers, canonical, motions)
        frames = learner.frames(canonical)
        on_skin = ~is_hair(surfels.centers(frames), surfels.triangle, rig.head_model, frames)
        chosen = choose_split(stretch.factor, displacement, self._weights(), on_skin & ~avatar.guessed())
        split_in_place(learner.rows(optimizers), chosen, stretch.direction)
        console().print(
            f"[dim]Split {len(chosen.parents)} of {surfels.num_surfels} surfels where the driving bank stretches the "
            f"skin, up to {float(stretch.factor.max()):.2f} times; as many that hardly show give up their rows.[/dim]",
            soft_wrap=True,
        )
        return chosen

    def _weights(self) -> Float[Tensor, "num_surfels"]:
        """Return how many pixels of all pictures of the canonical head each surfel fills."""
        avatar, canonical = self.learner.avatar, self.learner.motion.canonical()
        cameras = [view.camera for view in self.shots.registered_views()] or self.shots.cameras
        found = (pixels_filled(avatar, camera.to(avatar.device), canonical) for camera in cameras)
        return torch.stack(list(found)).sum(dim=0)
