"""Cameras of a COLMAP model folder: `cameras` and `images`, as `.bin` or `.txt` (COLMAP, "Output Format").

Poses are world-to-camera (quaternion w, x, y, z, and translation) in OpenCV's axes; the middle of the first pixel is at
0.5. The unit is arbitrary. Points are not read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from sage_ns.capture.camera_checks import check_intrinsics, check_size
from sage_ns.errors import CaptureError
from sage_ns.geometry.rotations import quaternion_to_matrix
from sage_ns.system.json_files import shown
from sage_ns.system.user_files import read_bytes
from sage_ns.tracking.cameras.files.json_cameras import rigid
from sage_ns.tracking.cameras.files.registry import CameraReader, register_reader
from sage_ns.tracking.cameras.lens import Lens
from sage_ns.tracking.cameras.rig_camera import CameraRig, RigCamera

_MOST_BYTES = 2**30
_LONGEST_NAME = 4096
_UNIT_QUATERNION = 1e-3
_HINT = "Export the model again with COLMAP (colmap model_converter)."

_Intrinsics = tuple[tuple[float, float], tuple[float, float], Lens]


@dataclass(frozen=True)
class _Model:
    """One of COLMAP's camera models."""

    number: int
    num_params: int
    read: Callable[[Sequence[float]], _Intrinsics]


_MODELS = {
    "SIMPLE_PINHOLE": _Model(0, 3, lambda p: ((p[0], p[0]), (p[1], p[2]), Lens())),
    "PINHOLE": _Model(1, 4, lambda p: ((p[0], p[1]), (p[2], p[3]), Lens())),
    "SIMPLE_RADIAL": _Model(2, 4, lambda p: ((p[0], p[0]), (p[1], p[2]), Lens((p[3],)))),
    "RADIAL": _Model(3, 5, lambda p: ((p[0], p[0]), (p[1], p[2]), Lens((p[3], p[4])))),
    "OPENCV": _Model(4, 8, lambda p: ((p[0], p[1]), (p[2], p[3]), Lens((p[4], p[5]), (p[6], p[7])))),
}
_OTHERS = {
    5: "OPENCV_FISHEYE", 6: "FULL_OPENCV", 7: "FOV", 8: "SIMPLE_RADIAL_FISHEYE", 9: "RADIAL_FISHEYE",
    10: "THIN_PRISM_FISHEYE",
}  # fmt: skip


@dataclass(frozen=True)
class _Camera:
    size: tuple[int, int]
    intrinsics: _Intrinsics


@dataclass(frozen=True)
class _Image:
    camera: int
    pose: tuple[float, ...]
    """Quaternion w, x, y, z, and translation."""
    name: str


@register_reader
class ColmapReader(CameraReader):
    """A COLMAP model."""

    name = "a COLMAP model"
    places = ("sparse/0/", "sparse/", "colmap/sparse/0/")
    states = (
        "`cameras` and `images`, binary or text; models SIMPLE_PINHOLE, PINHOLE, SIMPLE_RADIAL, RADIAL and OPENCV. It "
        "has no unit"
    )

    def recognises(self, path: Path) -> bool:
        """Return whether a folder has both files."""
        return any(all((path / f"{name}{end}").is_file() for name in ("cameras", "images")) for end in (".bin", ".txt"))

    def read(self, path: Path) -> CameraRig:
        """Read all pictures that have a pose. Where both are there, binary files are read, as COLMAP does."""
        if all((path / f"{name}.bin").is_file() for name in ("cameras", "images")):
            cameras, images = _binary_cameras(path / "cameras.bin"), _binary_images(path / "images.bin")
        else:
            cameras, images = _text_cameras(path / "cameras.txt"), _text_images(path / "images.txt")
        if not images:
            raise CaptureError(f"{path}: the model has no pictures with poses. {_HINT}")
        return CameraRig(tuple(_rig_camera(image, cameras, path) for image in images), None, str(path), self.name)


def _rig_camera(image: _Image, cameras: dict[int, _Camera], path: Path) -> RigCamera:
    source = f"{path}, picture '{shown(image.name)[1:-1]}'"
    if image.camera not in cameras:
        raise CaptureError(f"{source}: camera {image.camera} is not in the model. {_HINT}")
    camera = cameras[image.camera]
    focal, center, lens = camera.intrinsics
    check_intrinsics(focal, center, camera.size, source)
    return RigCamera(image.name, focal, center, camera.size, _world_to_camera(image.pose, source), source, lens)


def _world_to_camera(pose: tuple[float, ...], source: str) -> Float[np.ndarray, "4 4"]:
    quaternion = torch.tensor(pose[:4], dtype=torch.float64)
    length = float(quaternion.norm())
    if not abs(length - 1) < _UNIT_QUATERNION:
        raise CaptureError(f"{source}: the quaternion {pose[:4]} has a length of {length:g}; expected 1. {_HINT}")
    turn = quaternion_to_matrix(quaternion / length).numpy()
    return rigid(np.concatenate([turn, np.array(pose[4:])[:, None]], axis=1), source, "pose")


def _camera(model: str, size: tuple[float, float], params: Sequence[float], source: str) -> _Camera:
    if model not in _MODELS:
        raise CaptureError(
            f"{source}: the camera model {model} is not read; expected one of {', '.join(_MODELS)}. Undistort the "
            "pictures (colmap image_undistorter)."
        )
    if len(params) != _MODELS[model].num_params or not np.isfinite(params).all():
        raise CaptureError(
            f"{source}: {model} has {_MODELS[model].num_params} finite parameters; found {list(params)}. {_HINT}"
        )
    return _Camera(check_size(*size, source), _MODELS[model].read(params))


class _Bytes:
    """Little-endian values, one after the other."""

    def __init__(self, path: Path) -> None:
        self._content, self._at, self._path = read_bytes(path, CaptureError, _MOST_BYTES, _HINT), 0, path

    def take(self, form: str) -> tuple[int | float, ...]:
        size = struct.calcsize("<" + form)
        values = struct.unpack_from("<" + form, self._content, self._room(size))
        self._at += size
        return values

    def skip(self, size: int) -> None:
        self._room(size)
        self._at += size

    def text(self) -> str:
        end = self._content.find(b"\0", self._at, self._at + _LONGEST_NAME)
        if end < 0:
            raise self.fail("a name does not end")
        text = self._content[self._at : end]
        self._at = end + 1
        return text.decode(errors="replace")

    def fail(self, problem: str) -> CaptureError:
        return CaptureError(f"{self._path} is no file of a COLMAP model, or is cut off: {problem}. {_HINT}")

    def _room(self, size: int) -> int:
        if self._at + size > len(self._content):
            raise self.fail(f"it has {len(self._content)} bytes and needs {self._at + size}")
        return self._at


def _binary_cameras(path: Path) -> dict[int, _Camera]:
    read = _Bytes(path)
    (count,) = read.take("Q")
    cameras: dict[int, _Camera] = {}
    for _ in range(int(count)):
        number, model, width, height = read.take("IiQQ")
        name = next((name for name, each in _MODELS.items() if each.number == model), None)
        source = f"{path}, camera {number}"
        known = _MODELS.get(name or "")
        params = read.take(f"{known.num_params}d") if known else ()
        cameras[int(number)] = _camera(name or _OTHERS.get(int(model), str(model)), (width, height), params, source)
    return cameras


def _binary_images(path: Path) -> list[_Image]:
    read = _Bytes(path)
    (count,) = read.take("Q")
    images = []
    for _ in range(int(count)):
        values = read.take("I7dI")
        name = read.text()
        (points,) = read.take("Q")
        read.skip(24 * int(points))  # x, y, number of the point
        images.append(_Image(int(values[8]), tuple(float(each) for each in values[1:8]), name))
    return images


def _text_cameras(path: Path) -> dict[int, _Camera]:
    cameras = {}
    for number, line in _lines(path):
        source, words = f"{path}, line {number}", line.split()
        if not words:
            continue
        if len(words) < 5:
            raise CaptureError(f"{source}: expected CAMERA_ID MODEL WIDTH HEIGHT PARAMS, found {shown(line)}. {_HINT}")
        camera, width, height, *params = _numbers([words[0], *words[2:]], source)
        cameras[int(camera)] = _camera(words[1], (width, height), params, source)
    return cameras


def _text_images(path: Path) -> list[_Image]:
    images = []
    lines = _lines(path)
    for number, line in lines:
        words = line.split(maxsplit=9)
        if not words:
            continue
        if len(words) < 10:
            raise CaptureError(
                f"{path}, line {number}: expected IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, found {shown(line)}. "
                f"{_HINT}"
            )
        values = _numbers(words[:9], f"{path}, line {number}")
        images.append(_Image(int(values[8]), tuple(values[1:8]), words[9].strip()))
        next(lines, None)  # the points of the picture
    return images


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are no comments, with their numbers; an empty line is a picture without points."""
    text = read_bytes(path, CaptureError, _MOST_BYTES, _HINT).decode(errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("#"):
            yield number, line


def _numbers(words: Sequence[str], source: str) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise CaptureError(f"{source}: {error}. {_HINT}") from error
    if not np.isfinite(values).all():
        raise CaptureError(f"{source}: a number is not finite. {_HINT}")
    return values
