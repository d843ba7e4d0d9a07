"""One frame of a ``transforms*.json``: its JSON object, and the keys that the file states for all frames.

The keys are those of nerfstudio and of VHAP: ``w``, ``h``, ``fl_x``, ``fl_y`` or ``camera_angle_x``,
``camera_angle_y`` (radians), ``cx``, ``cy`` (pixels).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sage_ns.capture.camera_checks import check_size
from sage_ns.capture.decode import read_header
from sage_ns.errors import CaptureError
from sage_ns.system.json_files import finite_number, shown

_LARGEST_INDEX = 2**63 - 1


@dataclass(frozen=True)
class FrameRecord:
    """A frame's JSON object, and the keys that its file states for all frames."""

    frame: Mapping[str, Any]
    shared: Mapping[str, Any]
    source: str
    """File and position in it, for messages."""

    @property
    def scopes(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The frame's own keys come first: VHAP's shared keys merely repeat the last frame that it wrote."""
        return self.frame, self.shared

    def number(self, name: str, scope: Mapping[str, Any] | None = None) -> float | None:
        """Return the number under ``name`` in ``scope`` (None: the frame, then the shared keys), or None if absent.

        Raises:
            CaptureError: it is no finite number.
        """
        for place in (scope,) if scope is not None else self.scopes:
            if name in place:
                number = finite_number(place[name])
                if number is None:
                    raise CaptureError(
                        f"{self.source}: '{name}' is {shown(place[name])}; expected a finite number. Re-export the "
                        "capture."
                    )
                return float(number)
        return None

    def index(self, name: str) -> int | None:
        """Return the whole number >= 0 under ``name`` of the frame, or None if absent.

        Raises:
            CaptureError: it is something else.
        """
        if self.number(name, self.frame) is None:
            return None
        # Not through a float, which holds integers exactly up to 2^53 only: some ids are nanoseconds.
        value = self.frame[name]
        if value != int(value) or not 0 <= value <= _LARGEST_INDEX:
            raise CaptureError(
                f"{self.source}: '{name}' is {shown(value)}; expected a whole number in 0..2^63 - 1. "
                "Re-export the capture."
            )
        return int(value)

    def size(self, image_path: Path) -> tuple[int, int]:
        """Return width and height [pixels]; of the image itself if the file does not state both.

        Raises:
            CaptureError: they are no sizes of a picture, or the image cannot be read.
        """
        width, height = self.number("w"), self.number("h")
        if width is None or height is None:
            return read_header(image_path).size
        return check_size(width, height, self.source)

    def center(self, width: int, height: int) -> tuple[float, float]:
        """Return the principal point (cx, cy) as stated [pixels]; the middle of the picture if it is not stated."""
        cx, cy = self.number("cx"), self.number("cy")
        return width / 2 if cx is None else cx, height / 2 if cy is None else cy

    def focal_lengths(self, width: int, height: int) -> tuple[float, float]:
        """Return the focal lengths (fx, fy) [pixels]; fy = fx if only the horizontal one is stated.

        Raises:
            CaptureError: there is none, or one that no camera has.
        """
        for scope in self.scopes:
            fx = self._focal_length(scope, "x", width)
            if fx is not None:
                fy = self._focal_length(scope, "y", height)
                return fx, fx if fy is None else fy
        raise CaptureError(
            f"{self.source}: no focal length: neither the frame nor the file states 'fl_x' or 'camera_angle_x'. "
            "Re-export the capture."
        )

    def _focal_length(self, scope: Mapping[str, Any], axis: Literal["x", "y"], size: int) -> float | None:
        focal = self.number(f"fl_{axis}", scope)
        if focal is not None:
            if focal <= 0:
                raise CaptureError(f"{self.source}: 'fl_{axis}' is {focal}; a focal length is > 0 pixels.")
            return focal
        angle = self.number(f"camera_angle_{axis}", scope)
        if angle is None:
            return None
        if not 0 < angle < math.pi:
            raise CaptureError(f"{self.source}: 'camera_angle_{axis}' is {angle}; expected radians between 0 and pi.")
        return size / (2 * math.tan(angle / 2))
