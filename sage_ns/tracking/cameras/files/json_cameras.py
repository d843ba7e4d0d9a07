"""Fields of cameras in JSON files: matrices, sizes and lenses, checked where they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from sage_ns.capture.camera_checks import camera_to_world, check_size, pinhole_of
from sage_ns.errors import CaptureError
from sage_ns.system.json_files import finite_number, shown
from sage_ns.tracking.cameras.lens import Lens

AXES = "give rigid motions in OpenCV's axes (x right, y down, z forward)"


def rigid(value: object, source: str, field: str) -> Float[np.ndarray, "4 4"]:
    """Return a 4x4 or 3x4 matrix as a rigid motion.

    Raises:
        CaptureError: it is none.
    """
    return camera_to_world(value, source, field, AXES)


def one_of(entry: Mapping[str, Any], names: Sequence[str], source: str, what: str) -> str | None:
    """Return the one of several names that an object has; None if it has none.

    Raises:
        CaptureError: it has two of them.
    """
    found = [name for name in names if entry.get(name) is not None]
    if len(found) > 1:
        raise CaptureError(f"{source}: both '{found[0]}' and '{found[1]}' state {what}. Leave one out.")
    return found[0] if found else None


def pinhole(
    value: object, size: tuple[int, int] | None, source: str, field: str
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return (fx, fy) and (cx, cy) [pixels] of a camera matrix.

    Args:
        value: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]].
        size: width, height; None = not stated, which the checks of proportion then take from the principal point.
        source: name of the camera in messages.
        field: name of the matrix in messages.

    Raises:
        CaptureError: it is no matrix of a pinhole camera.
    """
    try:
        matrix = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.empty(0)
    if size is None and matrix.shape == (3, 3) and np.isfinite(matrix).all():
        size = max(1, round(2 * float(matrix[0, 2]))), max(1, round(2 * float(matrix[1, 2])))
    return pinhole_of(matrix, size or (1, 1), source, field)


def stated_size(entry: Mapping[str, Any], source: str) -> tuple[int, int] | None:
    """Return the width and height under "width" and "height", or under "image_size": [width, height].

    Raises:
        CaptureError: only one is stated, or they are no sizes of a picture.
    """
    fields = ("width", "height")
    given = [entry.get(name) for name in fields]
    both = entry.get("image_size")
    if both is not None:
        if not isinstance(both, list) or len(both) != 2 or given != [None, None]:
            raise CaptureError(f"{source}: 'image_size' is {shown(both)}; expected [width, height], and no 'width'.")
        given = both
    if given == [None, None]:
        return None
    numbers = [finite_number(value) for value in given]
    if None in numbers:
        raise CaptureError(f"{source}: 'width' x 'height' is {shown(given)}; expected two numbers of pixels.")
    return check_size(float(numbers[0] or 0), float(numbers[1] or 0), source, "'width' x 'height'")


def opencv_lens(value: object, source: str, field: str) -> Lens:
    """Return the lens of OpenCV's list of 4, 5 or 8 coefficients: k1, k2, p1, p2, k3, k4, k5, k6.

    Raises:
        CaptureError: it is a list of another length, or not of numbers.
    """
    flat = value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list) else value
    if isinstance(flat, list) and flat and all(isinstance(each, list) and len(each) == 1 for each in flat):
        flat = [each[0] for each in flat]
    numbers = [finite_number(each) for each in flat] if isinstance(flat, list) else []
    if len(numbers) not in (0, 4, 5, 8) or None in numbers or not isinstance(flat, list):
        raise CaptureError(
            f"{source}: '{field}' is {shown(value)}; expected a list of 4, 5 or 8 numbers, as OpenCV writes them: k1, "
            "k2, p1, p2, k3, k4, k5, k6. Undistort pictures of other lenses first."
        )
    k = [float(each or 0.0) for each in numbers] + [0.0] * (8 - len(numbers))
    return Lens((k[0], k[1], k[4]), (k[2], k[3]), (k[5], k[6], k[7]))
