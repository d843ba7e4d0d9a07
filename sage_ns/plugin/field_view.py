"""Images of the field's surface as additional outputs of the model, rendered only when they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.canonical import Canonical
from sage_ns.avatar.field_surface import SurfaceMesh, SurfaceView, extract_surface, render_surface
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.raster import PinholeCamera
from sage_ns.rig.carry import CarriedPoints

CELL_SIZE = 0.003
"""Metres; twice that of exported meshes, enough for a small window and a surface that still changes."""
_STEPS_UNTIL_STALE = 200


class LazyOutputs(dict[str, Tensor]):
    """Images by name, some of which are functions until they are read.

    nerfstudio's viewer and ns-render list all names but read only the images that they show.
    """

    def __init__(self, images: dict[str, Tensor], functions: dict[str, Callable[[], Tensor]]) -> None:
        super().__init__(images | functions)  # type: ignore[arg-type]

    def __getitem__(self, name: str) -> Tensor:
        value: Any = super().__getitem__(name)
        if not isinstance(value, Tensor):
            self[name] = value = value()
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """Return an image like ``dict.get``; makes the image if necessary."""
        return self[name] if name in self else default  # noqa: SIM401 -- would call itself

    def items(self) -> Any:
        """Return names and images; makes all images."""
        return [(name, self[name]) for name in self]

    def values(self) -> Any:
        """Return all images; makes those that are missing."""
        return [self[name] for name in self]


class FieldView:
    """Draws the field's surface as a mesh that the rig poses; a training field is extracted again every 200 steps.

    Args:
        canonical: field and appearance.
        rig: the rig that carries the surface.
        motion: motion vector of the canonical moment.
    """

    def __init__(self, canonical: Canonical, rig: PersonalRig, motion: Float[Tensor, "num_coefficients"]) -> None:
        self.canonical = canonical
        self.rig = rig
        self.motion = motion
        self._version = -1
        self._mesh: SurfaceMesh | None = None
        self._carry: CarriedPoints | None = None

    def outputs(
        self, camera: PinholeCamera, motion: Float[Tensor, "num_coefficients"], background: Float[Tensor, "3"]
    ) -> dict[str, Callable[[], Tensor]]:
        """Return functions that draw colour, normal and depth of the surface under ``motion``, from one rendering."""
        seen: list[SurfaceView] = []

        def view() -> SurfaceView:
            if not seen:
                seen.append(self._render(camera, motion))
            return seen[0]

        def over(image: Tensor, empty: Tensor) -> Tensor:
            return torch.where(view().hit, image, empty)

        return {
            "sdf_rgb": lambda: over(view().color, background),
            "sdf_normal": lambda: over((view().normal + 1) / 2, torch.ones_like(background)),
            "sdf_depth": lambda: over(view().depth, view().depth.amax()),
        }

    @torch.no_grad()
    def _render(self, camera: PinholeCamera, motion: Tensor) -> SurfaceView:
        mesh, carry = self._surface()
        return render_surface(mesh.posed(carry, self.rig.vertices(motion)), camera)

    def _surface(self) -> tuple[SurfaceMesh, CarriedPoints]:
        # torch counts the writes to a tensor: each step of the optimiser is one.
        version = next(self.canonical.field.encoding.parameters())._version
        stale = self._version < 0 or abs(version - self._version) >= _STEPS_UNTIL_STALE
        if stale or self._mesh is None or self._carry is None:
            self._mesh = extract_surface(self.canonical.field, self.canonical.appearance, CELL_SIZE)
            rest = self.rig.vertices(self.motion)
            self._carry = CarriedPoints(self._mesh.vertices, rest, self.rig.head_model.triangles)
            self._version = version
        return self._mesh, self._carry
