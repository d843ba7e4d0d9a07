"""Surfel attributes, predicted at canonical positions (method Eq. 8 and Sec. VII), in the frames of their triangles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sage_ns.avatar.canonical import Canonical
from sage_ns.avatar.shape_network import ShapeNetwork
from sage_ns.avatar.surfels import BoundSurfels, SurfelAttributes, take_sizes
from sage_ns.geometry.rotations import quaternion_conjugate, quaternion_multiply, quaternion_to_matrix
from sage_ns.geometry.spherical_harmonics import C0
from sage_ns.geometry.triangles import TriangleFrames
from sage_ns.system.progress import tracked


@dataclass(frozen=True)
class Prediction:
    """Attributes of all surfels for one training step."""

    attributes: SurfelAttributes
    """In the frames of the triangles, as in :class:`BoundSurfels`."""
    flatness: Float[Tensor, "num_surfels"]
    """Smallest eigenvalue of the shape network's matrix, relative to the largest."""


class SurfelNetworks(nn.Module):
    """Networks that predict colour, opacity, rotation and scales of surfels from the canonical field.

    [reading] The surfels of the paper have no attributes of their own. With thousands of training steps instead of tens
    of thousands, networks alone blur strands of hair and lose one decibel. Each surfel therefore has details that are
    added to the prediction. They start at 0: the networks represent what neighbouring surfels share. Details of the
    shape are added to the matrix before the eigen-decomposition, because the axes of nearly round surfels are
    arbitrary.

    Args:
        canonical: field and appearance that the prediction uses; owned by the learner, not by this module.
        num_surfels: number of surfels with details.
        sh_degree: degree of the view-dependent colour, as of the appearance network.
        hidden: width of the shape network.
        alone: the paper's way: no details, and the gradients of the predicted attributes also move the surfels.
    """

    DETAILS = ("detail_dc", "detail_rest", "detail_opacity", "detail_shape")

    def __init__(
        self, canonical: Canonical, num_surfels: int, sh_degree: int, hidden: int, alone: bool = False
    ) -> None:
        super().__init__()
        self.alone = alone
        self.shape = ShapeNetwork(canonical.field.num_encoded, hidden)
        if alone:
            return
        self.detail_dc = nn.Parameter(torch.zeros(num_surfels, 1, 3))
        self.detail_rest = nn.Parameter(torch.zeros(num_surfels, (sh_degree + 1) ** 2 - 1, 3))
        self.detail_opacity = nn.Parameter(torch.zeros(num_surfels))
        self.detail_shape = nn.Parameter(torch.zeros(num_surfels, 7))

    def details(self) -> dict[str, nn.Parameter]:
        """Return the details per surfel by name; empty if the networks are alone."""
        return {} if self.alone else {name: getattr(self, name) for name in self.DETAILS}

    def get_param_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters by optimiser group."""
        details = {name: [detail] for name, detail in self.details().items()}
        return {"shape": list(self.shape.parameters())} | details

    def forward(self, canonical: Canonical, surfels: BoundSurfels, frames: TriangleFrames) -> Prediction:
        """Predict the attributes of all surfels.

        Positions are constants here: only pictures and the surface move surfels, not the gradients of the networks. For
        networks alone, which represent all differences between surfels, the gradients of the attributes reach the
        positions through the field's encoding and features (not through the field's gradient, another input of the
        appearance: that would need the field's second derivative at every surfel).

        Args:
            canonical: field and appearance.
            surfels: surfels that give positions and triangles.
            frames: frames of the rig at the canonical moment.
        """
        field = canonical.field
        positions = surfels.centers(frames)
        sample = field.evaluate(positions if self.alone else positions.detach(), gradient="detached")
        assert sample.gradient is not None
        local = field.normalised(positions if self.alone else positions.detach())
        appearance = canonical.appearance(local, sample.gradient, sample.feature)
        shape = self.shape(sample.encoding, local, None if self.alone else self.detail_shape)
        triangle = surfels.triangle
        attributes = SurfelAttributes(
            quaternions=quaternion_multiply(quaternion_conjugate(frames.quaternion)[triangle], shape.quaternions),
            log_scales=shape.scales.log() - frames.scale.log()[triangle, None],
            opacity_logits=appearance.opacity_logits,
            sh_dc=appearance.sh[:, :1],
            sh_rest=appearance.sh[:, 1:],
        )
        if not self.alone:
            attributes = replace(
                attributes,
                opacity_logits=attributes.opacity_logits + self.detail_opacity,
                sh_dc=attributes.sh_dc + self.detail_dc,
                sh_rest=attributes.sh_rest + self.detail_rest,
            )
        return Prediction(attributes, shape.flatness)

    def imitate(
        self,
        canonical: Canonical,
        surfels: BoundSurfels,
        frames: TriangleFrames,
        generator: torch.Generator,
        num_steps: int = 300,
        batch_size: int = 4096,
    ) -> None:
        """Fit shape and appearance network to given surfels: training then starts as it would without networks.

        The field does not change. Training has to learn fine differences between neighbours.
        """
        field = canonical.field
        with torch.no_grad():
            positions = surfels.centers(frames)
            local = field.normalised(positions)
            rotations = quaternion_to_matrix(
                quaternion_multiply(frames.quaternion[surfels.triangle], surfels.quaternions)
            )
            scales = surfels.log_scales.exp().mean(dim=-1) * frames.scale[surfels.triangle]
            self.shape.typical_scale.copy_(scales.log().mean().exp())
            sample = field.evaluate(positions, gradient="detached")
        encoding, gradient, feature = sample.encoding, sample.gradient, sample.feature
        assert gradient is not None
        optimizer = torch.optim.Adam([*self.shape.parameters(), *canonical.appearance.parameters()], lr=3e-3)
        with tracked(range(num_steps), "Fitting the networks to the surfels") as shown:
            for _ in shown:
                chosen = torch.randint(len(positions), (batch_size,), generator=generator).to(positions.device)
                appearance = canonical.appearance(local[chosen], gradient[chosen], feature[chosen])
                shape = self.shape(encoding[chosen], local[chosen])
                colors = C0 * (appearance.sh[:, :1] - surfels.sh_dc[chosen]).abs().mean()
                opacities = (appearance.opacity_logits - surfels.opacity_logits[chosen]).square().mean()
                loss = colors + 0.1 * opacities + self.shape.target_loss(shape, rotations[chosen, :, 2], scales[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        take_sizes(self, self.details(), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)
