"""A smooth change of a completed person that fits the pictures: what they show moves its surroundings along.

Surfels that are trained one by one change where a picture shows them, however slantingly, and leave their neighbours
behind: the head then looks worse from the side. Here all surfels follow a few hundred nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.evidence import part_labels
from sage_ns.avatar.growth.rebinding import is_hair
from sage_ns.capture.images import recomposite
from sage_ns.capture.shot import Shot
from sage_ns.geometry.spherical_harmonics import C0
from sage_ns.raster import Surfels, rasterize
from sage_ns.raster.supersampling import averaged, enlarged
from sage_ns.system.progress import tracked
from sage_ns.training import losses

_NUM_NODES = 600
_NUM_NEAREST = 6
"""Nodes that a surfel follows."""
_HAIR_LABEL = 100
_OFFSET = 0.003
"""Metres; unit of the offset along the normal."""
_RATE = 0.02
_PENALTY = 1.0
"""Weight of the mean square of the nodes' values: colours in 0..1, offsets in 3 mm, logarithms of sizes, logits of
opacities."""
_SMOOTHNESS = 10.0
"""Weight of the mean square of the differences between nodes and the mean of their neighbours."""
_FACING = 0.3
"""Cosine between the normal and the direction to the camera, from which on a picture changes what it shows. A little of
the back of a head shines through its front, and must not take the front's colours."""
_COLOR, _OFF, _SIZE, _OPACITY = slice(0, 3), 3, 4, 5


@dataclass(frozen=True, eq=False)
class Nodes:
    """Interpolation of values at nodes to surfels: each takes the weighted mean of the nearest nodes of its part."""

    node: Int[Tensor, "num_surfels k"]
    weight: Float[Tensor, "num_surfels k"]
    """Sums to 1."""
    neighbor: Int[Tensor, "num_nodes k"]
    """Nodes of the same part around each node; the node itself where it has too few."""

    @property
    def num_nodes(self) -> int:
        """Number of nodes."""
        return len(self.neighbor)

    @classmethod
    def on(
        cls, centers: Float[Tensor, "num_surfels 3"], labels: Int[Tensor, "num_surfels"], generator: torch.Generator
    ) -> Nodes:
        """Draw nodes among surfels, as many on each part as it has surfels in proportion, and at least one.

        The weights are ``exp(-d^2 / (2 s^2))`` with the distance s of the farthest of the nodes that a surfel follows.

        Args:
            centers: metres.
            labels: part of each surfel; none follows a node of another part.
            generator: of the draws; on the CPU.
        """
        from scipy.spatial import KDTree

        places = centers.detach().cpu().numpy()
        node = np.zeros((len(places), _NUM_NEAREST), dtype=np.int64)
        weight = np.zeros((len(places), _NUM_NEAREST), dtype=np.float32)
        neighbors: list[np.ndarray] = []
        num_nodes = 0
        for label in labels.unique().tolist():
            members = np.flatnonzero((labels == label).cpu().numpy())
            count = max(1, round(_NUM_NODES * len(members) / len(places)))
            chosen = members[torch.randperm(len(members), generator=generator)[:count].numpy()]
            tree, k = KDTree(places[chosen]), min(_NUM_NEAREST, len(chosen))
            distance, near = (each.reshape(len(members), k) for each in tree.query(places[members], k=k))
            reach = np.maximum(distance[:, -1:], 1e-6)
            falloff = np.exp(-0.5 * (distance / reach) ** 2)
            node[members, :k] = num_nodes + near
            weight[members, :k] = falloff / falloff.sum(axis=1, keepdims=True)
            around = np.repeat(np.arange(len(chosen))[:, None], _NUM_NEAREST, axis=1)
            around[:, :k] = tree.query(places[chosen], k=k)[1].reshape(len(chosen), k)
            neighbors.append(num_nodes + around)
            num_nodes += len(chosen)
        device = centers.device
        return cls(*(torch.from_numpy(each).to(device) for each in (node, weight, np.concatenate(neighbors))))

    def spread(self, values: Float[Tensor, "num_nodes channels"]) -> Float[Tensor, "num_surfels channels"]:
        """Return the values at the surfels; gradients reach those at the nodes."""
        return (values[self.node] * self.weight[..., None]).sum(dim=1)

    def roughness(self, values: Float[Tensor, "num_nodes channels"]) -> Float[Tensor, ""]:
        """Return the mean square of the differences between nodes and the mean of their neighbours."""
        return (values - values[self.neighbor].mean(dim=1)).square().mean()


def fit_residual(avatar: Avatar, shots: Sequence[Shot], num_steps: int, seed: int) -> None:
    """Change the surfels of a completed person smoothly, so that the pictures show them; they are changed in place.

    Colours, sizes, opacities and the offsets along the normals change, each as a smooth function of the place on its
    part of the head. Surfels that face away from a camera follow the others and learn nothing from its picture.

    Args:
        avatar: the completed person at the canonical moment.
        shots: real pictures of that moment, or views registered to it.
        num_steps: steps of Adam; 0 leaves everything as it is.
        seed: of the nodes and the background colours.
    """
    if num_steps == 0 or not shots:
        return
    motion, model = avatar.motion.canonical(), avatar.rig.head_model
    surfels, frames = avatar.surfels, avatar.poses.at(motion).frames
    generator = torch.Generator().manual_seed(seed)
    centers = surfels.centers(frames).detach()
    hair = is_hair(centers, surfels.triangle, model, frames)
    labels = torch.where(hair, _HAIR_LABEL, part_labels(model).to(avatar.device)[surfels.triangle])
    nodes = Nodes.on(centers, labels, generator)
    values = nn.Parameter(torch.zeros(nodes.num_nodes, 6, device=avatar.device))
    optimizer = torch.optim.Adam([values], lr=_RATE)
    views = [shot.to(avatar.device) for shot in shots]
    look = replace(avatar.look, wrinkles=0.0, mouth=False, correction=False)
    normals = frames.normal[surfels.triangle]
    with tracked(range(num_steps), "Fitting the completed person") as shown:
        for step in shown:
            shot = views[step % len(views)]
            with torch.no_grad():
                start = avatar.place(shot.camera.center, motion, look)
                towards = torch.nn.functional.normalize(shot.camera.center - start.means, dim=-1)
                facing = ((towards * normals).sum(dim=-1) > _FACING)[:, None]
            change = nodes.spread(values)
            placed = _changed(start, torch.where(facing, change, change.detach()), normals)
            buffers = rasterize(placed, enlarged(shot.camera, look.supersampling))
            color, alpha = (averaged(each, look.supersampling) for each in (buffers.color, buffers.alpha))
            background = torch.rand(3, generator=generator).to(avatar.device)
            truth = shot.picture
            if shot.mask is not None:
                truth = recomposite(truth, shot.mask, avatar.background, background)
            drawn = color + (1 - alpha) * (background if shot.mask is not None else avatar.background)
            mask = shot.mask
            if shot.steady is not None:  # the rest of the picture does not show the canonical head
                truth = torch.lerp(drawn.detach(), truth, shot.steady)
                mask = None if mask is None else torch.lerp(alpha.detach(), mask, shot.steady)
            loss = 0.8 * losses.l1(drawn, truth) + 0.2 * losses.dissimilarity(drawn, truth)
            loss = loss + losses.squared(drawn, truth) * 10.0 + _PENALTY * values.square().mean()
            loss = loss + _SMOOTHNESS * nodes.roughness(values)
            if mask is not None:
                loss = loss + losses.silhouette(alpha, mask)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        change = nodes.spread(values)
        surfels.sh_dc.add_(change[:, None, _COLOR] / C0)
        surfels.means[:, 1] += _OFFSET * change[:, _OFF] / frames.scale[surfels.triangle]
        surfels.log_scales.add_(change[:, _SIZE, None])
        surfels.opacity_logits.add_(change[:, _OPACITY])
    avatar.invalidate()


def _changed(
    surfels: Surfels, change: Float[Tensor, "num_surfels 6"], normals: Float[Tensor, "num_surfels 3"]
) -> Surfels:
    logits = torch.logit(surfels.opacities, eps=1e-6) + change[:, _OPACITY]
    return Surfels(
        means=surfels.means + _OFFSET * change[:, _OFF, None] * normals,
        quaternions=surfels.quaternions,
        scales=surfels.scales * change[:, _SIZE, None].exp(),
        opacities=logits.sigmoid(),
        colors=surfels.colors + change[:, _COLOR],
    )
