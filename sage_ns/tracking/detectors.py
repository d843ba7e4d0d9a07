"""Face detectors by name; one more is a class with the decorator `register_detector`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import torch

from sage_ns.errors import NetworkError
from sage_ns.system.registry import Class, Registry
from sage_ns.tracking.face import FilmDetector
from sage_ns.tracking.face_landmarker import USUAL, WEIGHTS, FaceLandmarker, Thresholds, load_face_landmarker


class DetectorKind(ABC):
    """A way to find faces."""

    name: ClassVar[str]
    needs: ClassVar[str]
    """What must be installed or given, for help texts."""

    @abstractmethod
    def open(self, file: Path | None, device: torch.device | str, thresholds: Thresholds) -> FilmDetector:
        """Return a detector.

        Args:
            file: of its networks; None = the ones that come with the package.
            device: where it runs.
            thresholds: when something counts as a face.

        Raises:
            NetworkError: a package or a file is missing, or the file is broken.
        """


_DETECTORS: Registry[DetectorKind] = Registry("face detector", NetworkError)


def register_detector(kind: Class) -> Class:
    """Class decorator: offer a kind of detector."""
    return _DETECTORS.register(kind)


def detector_kinds() -> list[DetectorKind]:
    """Return all kinds of detectors, in the order of their names."""
    return _DETECTORS.entries()


def open_detector(
    name: str = "torch",
    file: Path | None = None,
    device: torch.device | str = "cpu",
    thresholds: Thresholds = USUAL,
) -> FilmDetector:
    """Return a face detector.

    Args:
        name: of its kind.
        file: of its networks; None = the ones that come with the package.
        device: where it runs.
        thresholds: when something counts as a face.

    Raises:
        NetworkError: there is no such kind, a package or a file is missing, or the file is broken.
    """
    return _DETECTORS[name].open(file, device, thresholds)


@register_detector
class TorchDetector(DetectorKind):
    """Google's face landmarker on torch."""

    name = "torch"
    needs = "nothing; runs on the CPU and on CUDA"

    def open(self, file: Path | None, device: torch.device | str, thresholds: Thresholds) -> FilmDetector:
        """Return the face landmarker of a file: this package's npz, or Google's `.task`."""
        return load_face_landmarker(file or WEIGHTS, device, thresholds)


@register_detector
class LitertDetector(DetectorKind):
    """The same on LiteRT."""

    name = "litert"
    needs = "the extra `track-fast` and Google's face_landmarker.task; runs on the CPU, faster than torch there"

    def open(self, file: Path | None, device: torch.device | str, thresholds: Thresholds) -> FilmDetector:
        """Return the face landmarker of a `.task` file; pictures are sampled on the CPU, whatever the device."""
        from sage_ns.tracking.litert import litert_networks

        return FaceLandmarker(litert_networks(file), "cpu", thresholds)
