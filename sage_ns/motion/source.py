"""The motion source: the recorded motion, and which moment of it a camera is rendered with."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sage_ns.motion.motion import Motion
from sage_ns.rig import FlameParams

RECORDED = "the capture's own motion"
"""Source of the motion that an avatar was captured with."""


@runtime_checkable
class TimedCamera(Protocol):
    """What the motion source asks of a camera (nerfstudio's ``Cameras`` has both)."""

    metadata: dict[Any, Any] | None
    times: Tensor | None


class MotionSource(nn.Module):
    """FLAME motion of a capture, kept with the avatar so that it outlives the capture's folder.

    The camera says when, in this order: the motion vector of its moment in its metadata (captures, and
    other people's captures for cross-reenactment), else ``camera.times`` in 0..1 along the stored motion (camera paths,
    the viewer's time slider), else the canonical moment.

    Args:
        params: the motion of the capture, one row per recorded timestep.
        timesteps: timestep ids of those rows, as the capture numbers them.
        canonical_row: the row that the avatar is reconstructed at.
    """

    motion: Tensor
    timesteps: Tensor
    canonical_row: Tensor
    tracked: Tensor

    def __init__(self, params: FlameParams, timesteps: Int[Tensor, "num_timesteps"], canonical_row: int) -> None:
        super().__init__()
        self.register_buffer("motion", params.motion_vector())
        self.register_buffer("timesteps", timesteps.to(torch.int64))
        self.register_buffer("canonical_row", torch.tensor(canonical_row))
        self.register_buffer("tracked", self.motion[canonical_row].clone())
        # To index with the buffer, the CPU would wait for the device.
        self._row = int(canonical_row)

    @property
    def num_coefficients(self) -> int:
        """Length of a motion vector: 18 pose numbers and the expression coefficients."""
        return self.motion.shape[1]

    def recorded(self) -> Motion:
        """The capture's own motion, on the CPU; the canonical moment as it was refined."""
        params = FlameParams.from_motion_vector(self.motion.detach().cpu())
        return Motion.of(params, RECORDED, self.timesteps.cpu())

    def canonical(self) -> Float[Tensor, "num_coefficients"]:
        """The motion vector of the canonical timestep."""
        return self.motion[self._row]

    def refine(self, motion: Float[Tensor, "num_coefficients"]) -> None:
        """Put ``motion`` in the place of the canonical moment's: whoever asks for that moment gets it from now on."""
        self.motion[self._row] = motion

    def at_time(self, time: float) -> Float[Tensor, "num_coefficients"]:
        """Motion at ``time`` in 0..1 along the stored rows, rotations by spherical interpolation."""
        rows = self.motion.shape[0]
        if rows == 1:
            return self.motion[0]
        position = min(max(time, 0.0), 1.0) * (rows - 1)
        stored = FlameParams.from_motion_vector(self.motion)
        return stored.interpolate(torch.tensor([position], device=self.motion.device)).motion_vector()[0]

    def at(self, camera: TimedCamera, refined: bool = True) -> Float[Tensor, "num_coefficients"]:
        """The motion vector that ``camera`` (a single one) asks for, see the class.

        Cameras of the canonical moment get it as refined, unless they ask for it as tracked.
        """
        metadata = camera.metadata or {}
        if "motion" in metadata:
            motion = self.fit(metadata["motion"].reshape(1, -1).to(self.motion))[0]
            return self.canonical() if refined and torch.equal(motion, self.tracked) else motion
        if camera.times is not None:
            return self.at_time(float(camera.times.reshape(-1)[0]))
        return self.canonical()

    def fit(self, motion: Float[Tensor, "num_rows given"]) -> Float[Tensor, "num_rows num_coefficients"]:
        """Motion vectors of another source with this avatar's number of expression coefficients.

        A driver may carry fewer or more; what is beyond the rig was checked to be zero when it was read.
        """
        missing = self.num_coefficients - motion.shape[1]
        return torch.nn.functional.pad(motion, (0, missing)) if missing > 0 else motion[:, : self.num_coefficients]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # The checkpoint's motion counts, whatever capture this was built from.
        for name in ("motion", "timesteps", "tracked"):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, torch.empty_like(stored, device=self.motion.device))
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._row = int(self.canonical_row)
