"""Everything of a capture besides pictures and cameras: head model, motion, timesteps of the training and test splits.

The dataparsers put one :class:`CaptureRecord` into their metadata, and a run keeps its arrays in ``capture.npz``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from sage_ns.capture.camera_checks import FARTHEST_POSITION
from sage_ns.capture.provenance import LONGEST
from sage_ns.capture.splits import SplitName
from sage_ns.errors import CaptureError
from sage_ns.image.super_resolution import NONE
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.system.array_fields import ArrayFields

_KEY = "record"
_TENSORS = ("timesteps", "train_timesteps", "test_timesteps", "train_camera_centers", "background")
_NUMBERS = ("canonical_row", "canonical_timestep", "downscale_factor")
_LARGEST = {"motion": 1e4, "shape": 1e4, "static_offset": 1e3, "train_camera_centers": FARTHEST_POSITION}
"""Largest magnitudes in a file: radians, metres and expression units far beyond those of any head."""


@dataclass(frozen=True, eq=False)
class CaptureRecord:
    """The data of a capture that belong to one split; splits differ only in ``split_source`` and the masks.

    Timesteps are the capture's ids and may have gaps; rows are dense.

    Raises:
        CaptureError: the fields do not fit each other; names the field and the value found.
        FlameParamsError: the parameters do not fit the head model.
    """

    head_model: HeadModel
    flame_params: FlameParams
    """One row for each tracked timestep, one identity."""
    timesteps: Int[Tensor, "num_timesteps"]
    """Timestep id of every row of the parameters, ascending."""
    canonical_row: int
    """Row of the canonical moment, at which the avatar is reconstructed."""
    train_timesteps: Int[Tensor, "num_train_timesteps"]
    """Ids that have training pictures, ascending."""
    test_timesteps: Int[Tensor, "num_test_timesteps"]
    """Ids of the capture's test split, ascending; empty if there is no test split."""
    train_camera_centers: Float[Tensor, "num_train_images 3"]
    """Metres, world."""
    background: Float[Tensor, "3"]
    """RGB in 0..1 that the stored pictures are blended with."""
    downscale_factor: int = 1
    """Side of the blocks of pixels that are averaged when pictures are loaded (the cameras are already scaled)."""
    super_resolution: str = NONE
    """How the split's pictures are enlarged after downscaling (the cameras are already scaled), see `open_upscaler`."""
    split_source: SplitName = "train"
    """Split of the capture that the pictures come from; differs from the requested split if pictures are borrowed."""
    mask_filenames: tuple[Path | None, ...] = ()
    """Soft mask of every picture of the split, None for a picture without one; empty if no pictures can be loaded."""
    hidden_filenames: tuple[Path | None, ...] = ()
    """For every picture of the split, what hides the head in it (`Frame.hidden_path`); empty if no picture has any."""
    provenance: str = ""
    """Source, date and consent of the capture as JSON, see `provenance_of`; "" if nobody has recorded them."""
    thumbnails: Mapping[str, UInt8[np.ndarray, "64 128 3"]] | None = None
    """Small training pictures by file name, from a run whose capture may be gone; None if the capture is read."""

    def __post_init__(self) -> None:
        self.flame_params.check_fits(self.head_model)
        self._check_moments()
        self._check_pictures()

    def _check_moments(self) -> None:
        num_rows = self.flame_params.num_timesteps
        if self.timesteps.shape != (num_rows,) or bool((self.timesteps.diff() <= 0).any()):
            raise _fault("timesteps", self.timesteps.tolist(), f"{num_rows} ascending ids, one for each row of motion")
        if not 0 <= self.canonical_row < num_rows:
            raise _fault("canonical_row", self.canonical_row, f"a row of the motion, 0..{num_rows - 1}")
        for name in ("train_timesteps", "test_timesteps"):
            ids: Tensor = getattr(self, name)
            untracked = ids[~torch.isin(ids, self.timesteps)].tolist()
            if untracked:
                raise _fault(name, f"{untracked}, which have no row of motion", "tracked timesteps")

    def _check_pictures(self) -> None:
        centers, background = self.train_camera_centers, self.background
        if centers.ndim != 2 or centers.shape[1] != 3 or not bool(centers.isfinite().all()):
            raise _fault("train_camera_centers", f"shape {list(centers.shape)}", "finite numbers [num_train_images, 3]")
        if background.shape != (3,) or not bool(((background >= 0) & (background <= 1)).all()):
            raise _fault("background", background.tolist(), "three numbers in 0..1")
        if self.downscale_factor < 1:
            raise _fault("downscale_factor", self.downscale_factor, "a whole number >= 1")
        if self.split_source not in get_args(SplitName):
            raise _fault("split_source", self.split_source, f"one of {', '.join(get_args(SplitName))}")

    @property
    def canonical_timestep(self) -> int:
        """Timestep id of the canonical moment, at which the avatar is reconstructed."""
        return int(self.timesteps[self.canonical_row])

    def metadata(self) -> dict[str, Any]:
        """Return the record as nerfstudio's dataset metadata; :meth:`of` reads it back."""
        return {_KEY: self}

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> CaptureRecord:
        """Return the record in nerfstudio's dataset metadata.

        Raises:
            CaptureError: another project's dataparser made the metadata.
        """
        if _KEY not in metadata:
            raise CaptureError(
                f"The dataset's metadata has no '{_KEY}' of a FLAME-tracked capture, only {sorted(metadata)}. "
                "Use this project's dataparser: ns-train METHOD --data CAPTURE flame-capture."
            )
        return metadata[_KEY]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what all splits share as named arrays, without the head model, which has its own file."""
        arrays = {name: getattr(self, name).cpu().numpy() for name in _TENSORS}
        arrays |= {name: np.array(getattr(self, name)) for name in _NUMBERS}
        arrays["provenance"] = np.array(self.provenance)
        params = self.flame_params
        arrays |= {"motion": params.motion_vector().cpu().numpy(), "shape": params.shape.cpu().numpy()}
        if params.static_offset is not None:
            arrays["static_offset"] = params.static_offset.cpu().numpy()
        return arrays

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, np.ndarray],
        head_model: HeadModel,
        split_source: str,
        thumbnails: Mapping[str, UInt8[np.ndarray, "64 128 3"]],
    ) -> CaptureRecord:
        """Rebuild a record from its :meth:`arrays`, for one split, with thumbnails in place of pictures.

        Raises:
            CaptureError: an array is missing, misshapen or not finite, or they do not fit each other.
            FlameParamsError: the motion does not fit the head model.
        """
        read = ArrayFields("record of the capture", arrays, CaptureError)

        def bounded(name: str, size: str) -> Float[Tensor, "..."]:
            values = read.floats(name, size)
            read.check_magnitude(name, values, _LARGEST[name])
            return values

        motion = bounded("motion", "num_timesteps num_coefficients")
        if len(motion) == 0:
            raise _fault("motion", "no timesteps", "at least one")
        params = replace(
            FlameParams.from_motion_vector(motion),
            shape=bounded("shape", "num_shape"),
            static_offset=bounded("static_offset", "num_vertices 3") if "static_offset" in read else None,
        )
        numbers = {name: int(read.indices(name, "")) for name in _NUMBERS}
        record = cls(
            head_model,
            params,
            timesteps=read.indices("timesteps", "num_timesteps"),
            canonical_row=numbers["canonical_row"],
            train_timesteps=read.indices("train_timesteps", "num_train_timesteps"),
            test_timesteps=read.indices("test_timesteps", "num_test_timesteps"),
            train_camera_centers=bounded("train_camera_centers", "num_train_images 3"),
            background=read.floats("background", "3"),
            downscale_factor=numbers["downscale_factor"],
            split_source=cast(SplitName, split_source),
            # Runs of older versions have none.
            provenance=read.text("provenance")[:LONGEST] if "provenance" in read else "",
            thumbnails=thumbnails,
        )
        if numbers["canonical_timestep"] != record.canonical_timestep:
            found = numbers["canonical_timestep"]
            raise _fault("canonical_timestep", found, f"{record.canonical_timestep}, the id of the canonical row")
        return record


def _fault(name: str, found: object, expected: str) -> CaptureError:
    return CaptureError(f"record of the capture, '{name}': found {str(found)[:300]}, expected {expected}.")
