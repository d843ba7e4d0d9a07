"""Named parts of a head mesh (face, scalp, lips, eyeballs ...), as lists of vertices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

EYEBALLS = ("left_eyeball", "right_eyeball")
SKIN = (
    *("face", "neck", "boundary", "forehead", "nose", "lips"),
    *("eye_region", "left_eye_region", "right_eye_region", "left_ear", "right_ear"),
)


@dataclass(frozen=True, eq=False)
class Regions:
    """Vertex indices by region name, with the names of FLAME's masks file, and groups derived from them.

    A region that the head model does not have is empty. Derived groups, which regions of the same name replace:

    - `eyes`: both eyeballs;
    - `hair`: scalp without face and neck;
    - `skin`: face, ears, neck and their parts, without hair and eyeballs.
    """

    vertices_by_name: Mapping[str, Int64[Tensor, "..."]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the regions that the masks define (derived groups not included)."""
        return tuple(self.vertices_by_name)

    def __contains__(self, name: str) -> bool:
        return name in self.vertices_by_name

    def __bool__(self) -> bool:
        return bool(self.vertices_by_name)

    def vertices(self, name: str) -> Int64[Tensor, "num_region_vertices"]:
        """Return vertex indices of a region or derived group, ascending; empty if the head model does not have it."""
        if name in self.vertices_by_name:
            return self.vertices_by_name[name]
        if name == "eyes":
            return self._union(*EYEBALLS)
        if name == "hair":
            return self._difference(self.vertices("scalp"), self._union("face", "neck"))
        if name == "skin":
            return self._difference(self._union(*SKIN), torch.cat([self.vertices("hair"), self.vertices("eyes")]))
        return torch.empty(0, dtype=torch.int64, device=self._device)

    def vertex_mask(self, name: str, num_vertices: int) -> Bool[Tensor, "num_vertices"]:
        """Return which vertices belong to a region or derived group."""
        mask = torch.zeros(num_vertices, dtype=torch.bool, device=self._device)
        mask[self.vertices(name)] = True
        return mask

    def triangle_mask(self, name: str, triangles: Int64[Tensor, "num_triangles 3"]) -> Bool[Tensor, "num_triangles"]:
        """Return which triangles belong to a region or derived group, with all three vertices."""
        vertices = self.vertices(name).to(triangles.device)
        return torch.isin(triangles, vertices).all(dim=-1)

    def to(self, device: torch.device | str) -> Regions:
        """Return the same regions on another device."""
        return Regions({name: vertices.to(device) for name, vertices in self.vertices_by_name.items()})

    @property
    def _device(self) -> torch.device:
        return next((vertices.device for vertices in self.vertices_by_name.values()), torch.device("cpu"))

    def _union(self, *names: str) -> Int64[Tensor, "num_region_vertices"]:
        return torch.unique(torch.cat([self.vertices(name) for name in names]))

    @staticmethod
    def _difference(vertices: Tensor, without: Tensor) -> Int64[Tensor, "num_region_vertices"]:
        return vertices[~torch.isin(vertices, without)]
