"""Where the 478 landmarks of a face lie on a head model.

A detector's landmarks are no points that a rig has: each is a place on the skin that the detector has learned to call
by a number. `Embedding` holds these places as points on triangles, with how far each can be trusted and how it slides
over the skin when the head turns. The embedding of the built-in head was learned by rendering
(`sage_ns.tracking.learn_embedding`) and comes with the package; every other head gets its own
(`sage_ns.tracking.rig_embedding`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.errors import TrackingError
from sage_ns.geometry.mesh_queries import barycentric_to_points
from sage_ns.rig import HeadModel
from sage_ns.synthetic.head import builtin_head
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz
from sage_ns.tracking.face import NUM_POINTS

FILE = Path(__file__).with_name("embedding.npz")
"""Embedding of the built-in head."""
_LARGEST_SLIDE = 0.05
"""Metres."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """Places of the landmarks on the triangles of a head model.

    A landmark is seen at ``x + R M d``: x is the place on the posed head, R the rotation of the head, d = (dx, dy) the
    first two coordinates of the unit vector from the head to the camera in the head's own axes (0 from the front), and
    M the landmark's slide.
    """

    triangle: Int[Tensor, "478"]
    barycentric: Float[Tensor, "478 3"]
    weight: Float[Tensor, "478"]
    """Weight of a landmark's squared error relative to the others', mean 1; 0 = not used."""
    slide: Float[Tensor, "478 3 2"]
    """Metres per unit of dx and of dy."""

    def points(
        self, vertices: Float[Tensor, "num_vertices 3"], triangles: Int[Tensor, "num_triangles 3"]
    ) -> Float[Tensor, "478 3"]:
        """Return the places on a posed head [metres], without their slide."""
        return barycentric_to_points(vertices, triangles, self.triangle, self.barycentric)

    def save(self, path: Path) -> None:
        """Write the embedding as an npz file."""
        arrays = {
            "triangle": self.triangle.int(), "barycentric": self.barycentric.half(), "weight": self.weight.half(),
            "slide": self.slide.half(),
        }  # fmt: skip
        write_npz(path, {name: value.cpu().numpy() for name, value in arrays.items()}, compress=True)


def load_embedding(path: Path, model: HeadModel) -> Embedding:
    """Read an embedding that `Embedding.save` has written.

    Args:
        path: npz file.
        model: the head that it is for.

    Raises:
        TrackingError: the file is missing or broken, or is for another head.
    """
    hint = "Learn it again: python -m sage_ns.tracking.learn_embedding."
    read = ArrayFields(str(path), read_npz(path, TrackingError), TrackingError, hint)
    barycentric = read.floats("barycentric", f"{NUM_POINTS} 3")
    if bool((barycentric < 0).any()) or bool(((barycentric.sum(dim=-1) - 1).abs() > 1e-2).any()):
        raise read.fail("barycentric", "weights that are negative or do not sum to 1", "points on triangles")
    weight = read.floats("weight", f"{NUM_POINTS}")
    if bool((weight < 0).any()) or not bool((weight > 0).any()):
        raise read.fail("weight", f"values in {weight.min():g}..{weight.max():g}", "weights from 0, some above")
    slide = read.floats("slide", f"{NUM_POINTS} 3 2")
    read.check_magnitude("slide", slide, _LARGEST_SLIDE)
    triangle = read.indices("triangle", f"{NUM_POINTS}", model.num_triangles)
    return Embedding(triangle, barycentric / barycentric.sum(dim=-1, keepdim=True), weight, slide)


@cache
def builtin_embedding() -> Embedding:
    """Return the embedding of the built-in head."""
    return load_embedding(FILE, builtin_head())


def landmark_parts(model: HeadModel) -> list[tuple[slice, Tensor]]:
    """Return the triangles (bool, on the CPU) that each group of landmarks lies on: skin, right eye, left eye.

    A head model without regions for its eyeballs has all landmarks on all triangles.
    """
    eyes = [model.regions.triangle_mask(name, model.triangles).cpu() for name in ("right_eyeball", "left_eyeball")]
    if not all(bool(eye.any()) for eye in eyes):
        return [(slice(0, NUM_POINTS), torch.ones(model.num_triangles, dtype=torch.bool))]
    return [(slice(0, 468), ~(eyes[0] | eyes[1])), (slice(468, 473), eyes[0]), (slice(473, NUM_POINTS), eyes[1])]
