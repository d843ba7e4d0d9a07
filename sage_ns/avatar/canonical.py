"""Signed distance field and appearance of the head at its canonical moment."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from sage_ns.avatar.appearance_network import AppearanceNetwork, radiance
from sage_ns.field.sdf import FieldConfig, FieldSample, SignedDistanceField
from sage_ns.field.volume import VolumeRenderer


class Canonical(nn.Module):
    """Signed distance field and appearance (Eq. 8) of the head in canonical world space, and their renderer.

    Args:
        config: settings of the field.
        center, half_size: cube that contains head and hair [metres].
        sh_degree: degree of the view-dependent colour.
        num_coarse, num_fine: numbers of samples per ray, see :class:`VolumeRenderer`.
    """

    def __init__(
        self,
        config: FieldConfig,
        center: Float[Tensor, "3"],
        half_size: float,
        sh_degree: int,
        num_coarse: int,
        num_fine: int,
    ) -> None:
        super().__init__()
        self.field = SignedDistanceField(config, center, half_size)
        self.appearance = AppearanceNetwork(config.num_features, sh_degree, config.hidden)
        self.renderer = VolumeRenderer(num_coarse, num_fine)

    def get_param_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters by optimiser group."""
        grid = list(self.field.encoding.parameters())
        in_grid = {id(parameter) for parameter in grid}
        rest = [each for each in self.field.parameters() if id(each) not in in_grid]
        return {
            "field_grid": grid,
            "field_network": rest + list(self.renderer.parameters()),
            "appearance": list(self.appearance.parameters()),
        }

    def radiance(
        self, positions: Float[Tensor, "n 3"], sample: FieldSample, directions: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n 3"]:
        """Return the colour at field samples, seen along unit ``directions``."""
        assert sample.gradient is not None
        appearance = self.appearance(self.field.normalised(positions), sample.gradient, sample.feature)
        return radiance(appearance, directions)
