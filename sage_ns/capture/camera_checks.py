"""Checks of a camera that every reader and writer of cameras makes: rigid pose, pinhole model, sound intrinsics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from sage_ns.errors import CaptureError
from sage_ns.system.json_files import whole_number

ROTATION_TOLERANCE = 1e-3
"""Largest entry of ``|R^T R - I|`` that still counts as a rotation; exports carry about 1e-6."""

FARTHEST_POSITION = 1e6
"""Metres per axis; single precision is 6 cm there."""

LARGEST_SIDE = 65_535
"""Pixels of a picture's width or height; JPEG's limit."""

FOCAL_RANGE = (0.05, 1000.0)
"""Focal lengths, as multiples of the picture's longer side: fields of view of 169 degrees to 0.06 degrees."""
PIXEL_ASPECTS = (0.2, 5.0)
"""Ratio of the focal lengths fx / fy."""
FARTHEST_PRINCIPAL_POINT = 100.0
"""Distance of the principal point from the picture's middle, as a multiple of the picture's longer side: a picture may
be a small part of a large one."""

_DISTORTION = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2", "p3", "p4", "b1", "b2", "s1", "s2", "s3", "s4", "skew")
"""Lens coefficients by the names that nerfstudio, COLMAP, Metashape and RealityCapture exporters write; b1, b2 are
Metashape's affinity and skew."""
_DISTORTION_LISTS = ("distortion_params", "distortion", "dist_coeffs", "distortion_coefficients")
_FLAGS = ("is_fisheye", "is_omni", "orthographic")
_MODEL_KEYS = ("camera_model", "camera_type")
_PINHOLE_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE")
_MODELS_WITH_DISTORTION = ("OPENCV", "FULL_OPENCV", "SIMPLE_RADIAL", "RADIAL", "BROWN")
"""Models that are a pinhole if all of their lens coefficients are 0."""


_OPENGL = "keep the capture in metres and in OpenGL axes (x right, y up, z back)"


def camera_to_world(
    value: object, source: str, field: str = "transform_matrix", advice: str = _OPENGL
) -> Float[np.ndarray, "4 4"]:
    """Return a camera pose as a 4x4 float64 matrix after checking that it is a rigid motion (4x4 or 3x4).

    Args:
        value: the matrix.
        source: name of the camera in messages.
        field: name of the matrix in messages.
        advice: what the user should do about a matrix that is scaled or mirrored.

    Raises:
        CaptureError: it is not a rigid motion, or out of all proportion; names source and field.
    """
    try:
        matrix = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.empty(0)
    if matrix.shape not in ((4, 4), (3, 4)):
        raise CaptureError(f"{source}: '{field}' is not a 4x4 matrix of numbers (shape {matrix.shape}). Export again.")
    if not np.isfinite(matrix).all():
        raise CaptureError(f"{source}: '{field}' holds NaN or infinity. Re-run the camera calibration.")
    pose = np.eye(4)
    pose[: matrix.shape[0]] = matrix
    rotation = pose[:3, :3]
    with np.errstate(over="ignore", invalid="ignore"):
        error = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
        determinant = float(np.linalg.det(rotation))
    if not error <= ROTATION_TOLERANCE or determinant < 0:
        raise CaptureError(
            f"{source}: '{field}' has no rotation in its upper 3x3 part (|R^T R - I| = {error:.2g}, "
            f"determinant {determinant:.3g}). Scaled, singular and mirrored cameras are not supported; {advice}."
        )
    if np.abs(pose[3] - (0, 0, 0, 1)).max() > ROTATION_TOLERANCE:
        raise CaptureError(
            f"{source}: last row of '{field}' is {pose[3]}; expected 0 0 0 1. Transpose matrices that state the "
            "position in their last row."
        )
    if np.abs(pose[:3, 3]).max() > FARTHEST_POSITION:
        raise CaptureError(
            f"{source}: the position in '{field}' is {pose[:3, 3]}; expected at most {FARTHEST_POSITION:g} metres. "
            "Re-run the camera calibration."
        )
    return pose


def check_size(width: float, height: float, source: str, fields: str = "'w' x 'h'") -> tuple[int, int]:
    """Return the size of a picture as whole numbers.

    Raises:
        CaptureError: not whole numbers of pixels from 1 to `LARGEST_SIDE`; names source and fields.
    """
    # Exporters that compute sizes in floating point write 434.00000000000006.
    whole = whole_number(width), whole_number(height)
    if whole[0] is None or whole[1] is None or not all(1 <= side <= LARGEST_SIDE for side in whole if side is not None):
        raise CaptureError(
            f"{source}: image size {fields} is {width:g} x {height:g}; expected whole pixels >= 1, at most "
            f"{LARGEST_SIDE}."
        )
    return whole[0], whole[1]


def check_intrinsics(
    focal: tuple[float, float], center: tuple[float, float], size: tuple[int, int], source: str
) -> None:
    """Check that focal lengths and principal point are in proportion to the picture.

    Args:
        focal: fx, fy, pixels.
        center: cx, cy, pixels.
        size: width, height, pixels.
        source: name of the camera in messages.

    Raises:
        CaptureError: not finite, or out of all proportion; names source and field.
    """
    side = max(size)
    low, high = FOCAL_RANGE[0] * side, FOCAL_RANGE[1] * side
    for name, value in zip(("fl_x", "fl_y"), focal, strict=True):
        if not low <= value <= high:
            raise CaptureError(
                f"{source}: '{name}' is {value:g}; expected a focal length of {low:g} to {high:g} pixels for a picture "
                f"of {size[0]} x {size[1]} px. Re-run the camera calibration."
            )
    if not PIXEL_ASPECTS[0] <= focal[0] / focal[1] <= PIXEL_ASPECTS[1]:
        raise CaptureError(
            f"{source}: 'fl_x' is {focal[0]:g} and 'fl_y' is {focal[1]:g}; the pixels of a camera are about square. "
            "Re-run the camera calibration."
        )
    for name, value, extent in zip(("cx", "cy"), center, size, strict=True):
        if not abs(value - extent / 2) <= FARTHEST_PRINCIPAL_POINT * side:
            raise CaptureError(
                f"{source}: '{name}' is {value:g}; expected a principal point near the picture of {size[0]} x "
                f"{size[1]} px. Re-run the camera calibration."
            )


def pinhole_of(
    intrinsics: Float[np.ndarray, "3 3"], size: tuple[int, int], source: str, field: str = "intrinsics"
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return (fx, fy) and (cx, cy), pixels, of a camera's matrix.

    Args:
        intrinsics: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]].
        size: width, height, pixels.
        source: name of the camera in messages.
        field: name of the matrix in messages.

    Raises:
        CaptureError: another shape, numbers that are not finite, skew, or out of all proportion; names source and
            field.
    """
    matrix = np.asarray(intrinsics, dtype=np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise CaptureError(f"{source}: '{field}' is not a 3x3 matrix of finite numbers")
    fx, fy = float(matrix[0, 0]), float(matrix[1, 1])
    rest = matrix[[0, 1, 2, 2, 2], [1, 0, 0, 1, 2]]
    if min(fx, fy) <= 0 or np.abs(rest - (0, 0, 0, 0, 1)).max() > 1e-6 * fx:
        raise CaptureError(
            f"{source}: '{field}' is {matrix.tolist()}; expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] "
            "with positive focal lengths and no skew. Undistort the pictures, or transpose the matrix."
        )
    center = (float(matrix[0, 2]), float(matrix[1, 2]))
    check_intrinsics((fx, fy), center, size, source)
    return (fx, fy), center


def check_pinhole(entry: Mapping[str, Any], source: str) -> None:
    """Check that a JSON object describes no lens distortion and no other camera model than a pinhole.

    Raises:
        CaptureError: lens coefficients that are not 0, or another model; names source and field.
    """
    for name, value in _coefficients(entry):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != 0:
            raise CaptureError(
                f"{source}: '{name}' is {value!r}, but only pinhole cameras without lens distortion can be trained on. "
                "Undistort the pictures and masks first (COLMAP: image_undistorter), and state the new intrinsics."
            )
    for name in (*_MODEL_KEYS, *_FLAGS):
        value = entry.get(name)
        if not _is_pinhole(value):
            raise CaptureError(
                f"{source}: '{name}' is {value!r}, but only pinhole cameras can be trained on. Undistort the pictures "
                "and masks first, and state the camera as PINHOLE."
            )


def _coefficients(entry: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Return the lens coefficients that an object states; None is none."""
    for name in _DISTORTION:
        if entry.get(name) is not None:
            yield name, entry[name]
    for name in _DISTORTION_LISTS:
        value = entry.get(name)
        each = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else [value]
        yield from ((name, one) for one in each if one is not None)


def _is_pinhole(value: object) -> bool:
    if value is None or value is False:
        return True
    return isinstance(value, str) and value.upper() in (*_PINHOLE_MODELS, *_MODELS_WITH_DISTORTION)
