"""A head model with the identity of one person folded in, which is all that posing an avatar needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sage_ns.geometry.triangles import TriangleFrames, triangle_frames
from sage_ns.rig import FlameParams, HeadModel, identity_vertices, pose_vertices


class PersonalRig(nn.Module):
    """The rig of one person. Shape coefficients and static offset are folded into the template.

    Folding is exact: FLAME adds both to the template before regressing joints and before skinning, and neither changes
    over time. The checkpoint then contains no identity basis, and posing skips 300 coefficients.

    Args:
        head_model: any head model in FLAME's format.
        identity: parameters with the ``shape`` and ``static_offset`` [metres] of the person.
    """

    v_template: Tensor

    def __init__(self, head_model: HeadModel, identity: FlameParams) -> None:
        super().__init__()
        personal = replace(
            head_model,
            v_template=identity_vertices(head_model, identity),
            shape_basis=head_model.shape_basis[..., :0],
        )
        for name, tensor in personal.state().items():
            self.register_buffer(name, tensor.clone())
        self._decoded: HeadModel | None = None

    @property
    def head_model(self) -> HeadModel:
        """The personal head model, read from the buffers, on their device."""
        if self._decoded is None:
            buffers = dict(self.named_buffers())
            decoded = HeadModel.from_state(buffers).to(self.v_template.device)
            # `from_state` converts to single precision; the buffers may be in double.
            precise = {name: value for name, value in buffers.items() if value.is_floating_point()}
            self._decoded = replace(decoded, **precise)
        return self._decoded

    def vertices(
        self,
        motion: Float[Tensor, "num_coefficients"],
        template: Float[Tensor, "num_vertices 3"] | None = None,
    ) -> Float[Tensor, "num_vertices 3"]:
        """Return posed vertices [metres, world] for one motion vector; gradients reach the motion and the template.

        The rig has no identity basis: its template contains the shape of the person. Tracking and refinement, which
        change the shape, compute a template with the full head model and pose that:
        ``rig.vertices(motion, identity_vertices(head_model, params))`` has gradients for ``params.shape`` and
        ``params.static_offset``.

        Args:
            motion: see `FlameParams.motion_vector`.
            template: unposed head [metres] that replaces the rig's.
        """
        model = self.head_model if template is None else replace(self.head_model, v_template=template)
        return pose_vertices(model, FlameParams.from_motion_vector(motion[None]))[0]

    def frames(self, motion: Float[Tensor, "num_coefficients"]) -> TriangleFrames:
        """Return the frames of all triangles under one motion (Eq. 5); gradients reach the motion."""
        return triangle_frames(self.vertices(motion), self.head_model.triangles)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PersonalRig:
        # The decoded model refers to the buffers that a move to another device replaces.
        self._decoded = None
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        self._decoded = None
        for name in list(self._buffers):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                self._buffers[name] = torch.empty_like(stored, device=self._buffers[name].device)  # type: ignore[union-attr]
        super()._load_from_state_dict(state_dict, prefix, *args)
