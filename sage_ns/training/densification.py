"""Densification during training: gathers gradients in every step, and now and then adds and removes Gaussians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.optim import Optimizer

from sage_ns.avatar.growth.densification import (
    NUM_CHILDREN,
    clone,
    growing,
    prunable,
    reset_opacities,
    split,
)
from sage_ns.avatar.growth.ops import keep
from sage_ns.raster import Buffers, PinholeCamera
from sage_ns.training.learner import Learner

_MARGIN = 1.1
"""The scene's extent is this times the largest distance of a camera from the centre of all cameras (3DGS)."""


class Densification:
    """Adds and removes 3D Gaussians in the course of a phase, as GaussianAvatars does.

    Steps only add up gradients. Every `steps_between` steps Gaussians are cloned, split and removed, and every
    `steps_between_resets` steps all opacities are lowered, so that only those return that pictures need. These steps
    wait for the device: the number of Gaussians decides the sizes of all tensors.

    Args:
        learner: the avatar in training.
        cameras: training cameras; their distances give the scene's extent.
        num_steps: length of the phase.
        seed: random seed.
    """

    def __init__(self, learner: Learner, cameras: Sequence[PinholeCamera], num_steps: int, seed: int) -> None:
        settings = learner.config.densification
        self.learner, self.settings, self.num_steps, self.seed = learner, settings, num_steps, seed
        self.extent = scene_extent(cameras)
        self.first = round(settings.begin * num_steps)
        self.steps_between = max(round(settings.every * num_steps), settings.fewest_steps)
        self.steps_between_resets = max(round(settings.reset_every * num_steps), settings.fewest_reset_steps)

    def watch(self, buffers: Buffers) -> None:
        """Gather the gradients of a picture's projected centres in its backward pass."""
        footprints, gradients = buffers.footprints, self.learner.screen_gradients
        assert footprints is not None and gradients is not None, "only 3D Gaussians are densified"
        if not footprints.pixels.requires_grad:
            return
        height, width = buffers.alpha.shape[:2]
        visible = footprints.visible
        footprints.pixels.register_hook(lambda g: gradients.add(g.reshape(-1, 2), visible, width, height))

    def after_step(self, step: int, optimizers: Mapping[str, Optimizer]) -> bool:
        """Densify or reset opacities if it is time to, and return whether Gaussians were added or removed.

        Args:
            step: number of the step from the begin of the phase.
            optimizers: optimisers by name of the parameter.
        """
        done = step + 1
        if done >= self.num_steps:  # what is new would not be trained
            return False
        densified = done > self.first and done % self.steps_between == 0
        if densified:
            self.densify(step, optimizers)
        if done % self.steps_between_resets == 0 or done == self.first:
            reset_opacities(self.learner.rows(optimizers), self.settings.reset_to)
        return densified

    @torch.no_grad()
    def densify(self, step: int, optimizers: Mapping[str, Optimizer]) -> None:
        """Clone and split Gaussians with large gradients; remove transparent and very large ones."""
        learner, settings = self.learner, self.settings
        sums = learner.screen_gradients
        assert sums is not None
        room = None if settings.most is None else settings.most - learner.surfels.num_surfels
        grows = growing(sums.mean(), settings.gradient, room)
        large = self._sizes() > settings.split_above * self.extent
        # A split Gaussian keeps its place in front of the clones, which are added after all others.
        clone(learner.rows(optimizers), grows & ~large)
        splits = torch.nn.functional.pad(grows & large, (0, learner.surfels.num_surfels - len(large)))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        samples = torch.randn(NUM_CHILDREN, int(splits.sum()), 3, generator=generator).to(learner.device)
        split(learner.rows(optimizers), splits, samples)

        unwanted = learner.surfels.opacity_logits.sigmoid() < settings.remove_below
        if step + 1 > self.steps_between_resets:
            unwanted = unwanted | (self._sizes() > settings.remove_above * self.extent)
        num_triangles = learner.rig.head_model.num_triangles
        keep(learner.rows(optimizers), ~prunable(unwanted, learner.surfels.triangle, num_triangles))
        sums.clear()

    def _sizes(self) -> torch.Tensor:
        """Return the largest scale of each Gaussian at the canonical moment [metres]."""
        surfels, frames = self.learner.surfels, self.learner.frames(self.learner.motion.canonical())
        return surfels.log_scales.detach().amax(dim=-1).exp() * frames.scale[surfels.triangle]


def scene_extent(cameras: Sequence[PinholeCamera]) -> float:
    """Return the extent of the scene as 3DGS defines it [metres]: how far cameras are from their common centre.

    1 m for a single camera, which has no distance from itself.
    """
    centers = torch.stack([camera.center.detach().cpu() for camera in cameras])
    farthest = float(torch.linalg.vector_norm(centers - centers.mean(dim=0), dim=-1).max())
    return _MARGIN * farthest if farthest > 1e-3 else 1.0
