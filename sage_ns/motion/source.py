"""The motion source: the recorded motion, and the motion vector for each camera."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sage_ns.motion.motion import Motion
from sage_ns.rig import FlameParams

RECORDED = "the capture's own motion"
"""Source name of the motion that an avatar was captured with."""


@runtime_checkable
class TimedCamera(Protocol):
    """Fields of a camera that the motion source reads (nerfstudio's ``Cameras`` has both)."""

    metadata: dict[Any, Any] | None
    times: Tensor | None


class MotionSource(nn.Module):
    """FLAME motion of a capture, stored with the avatar: the capture's folder is no longer needed.

    A camera determines the motion vector in one of three ways. First, its metadata may contain the motion vector
    (captures, and other people's captures for cross-reenactment). Second, ``camera.times`` may give a position in 0..1
    along the stored motion (camera paths, the viewer's time slider). Otherwise it is that of the canonical moment.

    Args:
        params: the motion of the capture, one row per recorded timestep.
        timesteps: timestep ids of the rows, as the capture numbers them.
        canonical_row: the row of the moment at which the avatar is reconstructed.
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

    @property
    def row(self) -> int:
        """Row of the canonical moment."""
        return self._row

    def recorded(self) -> Motion:
        """Return the capture's own motion on the CPU, with the refined canonical moment."""
        params = FlameParams.from_motion_vector(self.motion.detach().cpu())
        return Motion.of(params, RECORDED, self.timesteps.cpu())

    def canonical(self) -> Float[Tensor, "num_coefficients"]:
        """Return the motion vector of the canonical moment, after refinement."""
        return self.motion[self._row]

    def refine(self, motion: Float[Tensor, "num_coefficients"]) -> None:
        """Replace the motion vector of the canonical moment by ``motion``."""
        self.motion[self._row] = motion

    def at_time(self, time: float) -> Float[Tensor, "num_coefficients"]:
        """Return the motion vector at ``time`` in 0..1 along the stored rows; rotations interpolate spherically."""
        rows = self.motion.shape[0]
        if rows == 1:
            return self.motion[0]
        position = min(max(time, 0.0), 1.0) * (rows - 1)
        stored = FlameParams.from_motion_vector(self.motion)
        return stored.interpolate(torch.tensor([position], device=self.motion.device)).motion_vector()[0]

    def at(self, camera: TimedCamera, refined: bool = True) -> Float[Tensor, "num_coefficients"]:
        """Return the motion vector of ``camera`` (a single one), see the class.

        For cameras of the canonical moment this is the refined motion vector, or the tracked one if ``refined`` is
        False.
        """
        metadata = camera.metadata or {}
        if "motion" in metadata:
            motion = self.fit(metadata["motion"].reshape(1, -1).to(self.motion))[0]
            return self.canonical() if refined and torch.equal(motion, self.tracked) else motion
        if camera.times is not None:
            return self.at_time(float(camera.times.reshape(-1)[0]))
        return self.canonical()

    def fit(self, motion: Float[Tensor, "num_rows given"]) -> Float[Tensor, "num_rows num_coefficients"]:
        """Return motion vectors of another source with this avatar's number of expression coefficients.

        A driver may have fewer or more. Surplus coefficients are zero; the reader has checked that.
        """
        missing = self.num_coefficients - motion.shape[1]
        return torch.nn.functional.pad(motion, (0, missing)) if missing > 0 else motion[:, : self.num_coefficients]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # The checkpoint's motion replaces that of the capture that this source was built from.
        for name in ("motion", "timesteps", "tracked"):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, torch.empty_like(stored, device=self.motion.device))
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._row = int(self.canonical_row)
