"""Faces, their 478 landmarks and 52 expressions in a picture, by Google's face landmarker on torch.

The steps and their settings are those of MediaPipe's graph `mediapipe.tasks.vision.face_landmarker.FaceLandmarkerGraph`
for pictures; `docs/tracking.md` has where they come from, and where this differs:

- more passes over the crop that the landmarks of the last suggest, as MediaPipe does from frame to frame;
- a search in parts of the picture, and in the picture turned by quarters, where the whole shows no face;
- means over blocks where the picture is much finer than a network's input;
- expressions are read from landmarks that are turned upright;
- pixels' centres are at +0.5 throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sage_ns.errors import OptionError
from sage_ns.image.crop import Crop, around, sampled
from sage_ns.motion.files.mediapipe_scores import MEDIAPIPE_NAMES
from sage_ns.tracking import face_boxes
from sage_ns.tracking.face import NUM_POINTS, Face
from sage_ns.tracking.face_boxes import FaceBoxes
from sage_ns.tracking.networks.files import read_graphs
from sage_ns.tracking.networks.network import Network, require_shapes

WEIGHTS = Path(__file__).with_name("face_landmarker.npz")
"""The networks that the package brings, made by `sage_ns.tracking.convert_task`."""
DETECTOR, LANDMARKS, SCORES = "face_detector", "face_landmarks_detector", "face_blendshapes"
"""Names of the networks, as in Google's file."""
Run = Callable[[Tensor], list[Tensor]]
"""A network: from its input [1, ...] to its outputs; on one device."""

_RESOLUTION = 256
"""Pixels per side of the picture from which the landmarks are found."""
_OUTER_CORNERS = (33, 263)
"""Landmarks at the outer corners of the eyes, the person's right one first: they turn the crop upright."""
_MOST_PASSES = 4
"""How often landmarks are found: at least twice, and again while the crop still turns by `_UPRIGHT` or more."""
_UPRIGHT = math.radians(3.0)
_GROWTH = 1.5
"""Side of a crop as a multiple of the face in it."""
_SCORE_POINTS = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80, 81,
    82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154,
    155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263,
    267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321,
    323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387,
    388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, *range(468, 478),
)  # fmt: skip
"""The landmarks from which the network of the expressions reads them (MediaPipe's `face_blendshapes_graph`)."""
_SHAPES = {
    DETECTOR: ([(1, 128, 128, 3)], [(1, 896, 16), (1, 896, 1)]),
    LANDMARKS: ([(1, 256, 256, 3)], [(1, 1, 1, 3 * NUM_POINTS), (1, 1, 1, 1)]),
    SCORES: ([(1, len(_SCORE_POINTS), 2)], [(len(MEDIAPIPE_NAMES),)]),
}
"""Inputs and first outputs of the networks."""
_LONG = 1.25
"""A picture that is longer than wide by more than this is also searched in squares of its shorter side."""
_MOST_SQUARES = 8
"""Squares along a picture, side by side."""
_SURE = 0.75
"""Score of the detector from which a face stands upright: one that stands on its head has 0.6."""
_SAME_FACE = 0.5
"""Overlap of the boxes of two faces from which they are one."""


@dataclass(frozen=True)
class Thresholds:
    """When something counts as a face; MediaPipe's own values."""

    detection: float = 0.5
    """Least score of a box in which landmarks are looked for."""
    confidence: float = 0.5
    """Least confidence of a face that is returned. A head in profile (fk01, 91 degrees) has at most 0.2."""


USUAL = Thresholds()


class FaceLandmarker:
    """Finds faces.

    Args:
        networks: the three networks, by name.
        device: of the pictures that they take.
        thresholds: when something counts as a face.
    """

    def __init__(
        self,
        networks: Mapping[str, Run],
        device: torch.device | str = "cpu",
        thresholds: Thresholds = USUAL,
    ) -> None:
        self._networks, self._device = networks, torch.device(device)
        self._thresholds = thresholds

    def __call__(self, picture: UInt8[Tensor | np.ndarray, "height width 3"]) -> list[Face]:
        """Return the faces of an sRGB picture, the largest first.

        Upright faces, and those that lean, are found together. The picture is also looked at in halves where the whole
        shows no face, and turned by quarters where no face is surely upright.

        Raises:
            OptionError: the array is no picture of bytes with three channels.
        """
        pixels = checked_picture(picture).to(self._device)
        height, width = pixels.shape[:2]
        found = self._search(pixels, _upright(height, width))
        faces = self._faces(pixels, found)
        if not faces:
            found = self._search(pixels, _squares(height, width, _least(height, width, min(height, width) / 2)))
            faces = self._faces(pixels, found)
        if not faces or float(found.scores.max()) < _SURE:
            turned = [self._search(pixels, [crop]) for crop in _turned(height, width)]
            better = face_boxes.best(FaceBoxes.joined([found, *turned]))
            if not torch.equal(better.scores, found.scores):
                faces = self._faces(pixels, better)
        return faces

    def follow(self, picture: UInt8[Tensor | np.ndarray, "height width 3"], last: Face | None) -> Face | None:
        """Return the face of the next frame of a film; see `sage_ns.tracking.face.FilmDetector`.

        One pass over the crop that the last landmarks suggest, as MediaPipe does from frame to frame, without scores.
        Where that finds no face, or there is none to start from, the largest upright face of the picture.

        Raises:
            OptionError: the array is no picture of bytes with three channels.
        """
        pixels = checked_picture(picture).to(self._device)
        if last is not None:
            face = self._face(pixels, around(last.points[:, :2], last.points[list(_OUTER_CORNERS), :2], _GROWTH), 1)
            if face is not None:
                return face
        faces = self._faces(pixels, self._search(pixels, _upright(*pixels.shape[:2])))
        return faces[0] if faces else None

    def _search(self, picture: UInt8[Tensor, "height width 3"], crops: list[Crop]) -> FaceBoxes:
        """Return the faces that the detector sees in crops of a picture."""
        return face_boxes.merged(FaceBoxes.joined([self._boxes(picture, crop) for crop in crops]))

    def _faces(self, picture: UInt8[Tensor, "height width 3"], found: FaceBoxes) -> list[Face]:
        """Return the faces in boxes, the largest first."""
        faces: list[Face] = []
        for box, points in zip(found.boxes, found.points, strict=True):
            eyes = points[[face_boxes.RIGHT_EYE, face_boxes.LEFT_EYE]]
            face = self._face(picture, around(box.reshape(2, 2), eyes, _GROWTH))
            if face is not None:
                faces.append(face)
        return sorted(_distinct(faces), key=_area, reverse=True)

    def _boxes(self, picture: UInt8[Tensor, "height width 3"], crop: Crop) -> FaceBoxes:
        """Return the faces that the detector sees in a crop, in pixels of the picture."""
        pixels = sampled(picture, crop, face_boxes.RESOLUTION, "zeros")
        values, logits = (each.cpu() for each in self._networks[DETECTOR](pixels[None] * 2 - 1)[:2])
        found = face_boxes.decoded(values[0], logits[0, :, 0], self._thresholds.detection)
        left, top, right, bottom = found.boxes.unbind(-1)
        corners = torch.stack([left, top, right, top, right, bottom, left, bottom], -1).reshape(-1, 4, 2)
        corners = crop.to_picture(corners)
        return FaceBoxes(torch.cat([corners.amin(1), corners.amax(1)], -1), crop.to_picture(found.points), found.scores)

    def _face(
        self, picture: UInt8[Tensor, "height width 3"], crop: Crop, most_passes: int = _MOST_PASSES
    ) -> Face | None:
        """Return the face in a crop, without scores after one pass; None if the network is not sure of one."""
        inside, confidence = self._landmarks(picture, crop)
        for index in range(1, most_passes):
            points = crop.to_picture(inside[:, :2])
            better = around(points, points[list(_OUTER_CORNERS)], _GROWTH)
            turned = abs(math.remainder(better.angle - crop.angle, math.tau))
            if confidence < self._thresholds.confidence or (index > 1 and turned < _UPRIGHT):
                break
            crop = better
            inside, again = self._landmarks(picture, crop)
            # Passes over what the network did not take for a face at first can make it sure of one: the least counts.
            confidence = min(confidence, again)
        points = torch.cat([crop.to_picture(inside[:, :2]), inside[:, 2:] * crop.side], dim=1)
        if confidence < self._thresholds.confidence:
            return None
        low, high = points[:, :2].amin(0).tolist(), points[:, :2].amax(0).tolist()
        scores = self._scores(inside) if most_passes > 1 else {}
        return Face(points, confidence, scores, (low[0], low[1], high[0], high[1]))

    def _landmarks(self, picture: UInt8[Tensor, "height width 3"], crop: Crop) -> tuple[Float[Tensor, "478 3"], float]:
        """Return the landmarks as shares of a crop, and how sure the network is that they are those of a face."""
        pixels = sampled(picture, crop, _RESOLUTION, "border")
        values, presence = (each.cpu() for each in self._networks[LANDMARKS](pixels[None])[:2])
        inside = values.reshape(NUM_POINTS, 3) / _RESOLUTION
        if not bool(inside.isfinite().all()):  # weights of another network
            return torch.zeros_like(inside), 0.0
        return inside, float(presence.sigmoid())

    def _scores(self, inside: Float[Tensor, "478 3"]) -> dict[str, float]:
        """Return the strengths of the expressions from the landmarks in an upright crop.

        The network takes out place and size, but not the turn: with the places in the picture, as MediaPipe gives them,
        the scores of a head that leans change (docs/tracking.md).
        """
        chosen = inside[list(_SCORE_POINTS), :2].to(self._device)
        values = self._networks[SCORES](chosen[None])[0].cpu()
        return dict(zip(MEDIAPIPE_NAMES, values.clamp(0.0, 1.0).tolist(), strict=True))


def load_face_landmarker(
    path: Path = WEIGHTS,
    device: torch.device | str = "cpu",
    thresholds: Thresholds = USUAL,
) -> FaceLandmarker:
    """Return the landmarker of a file.

    Args:
        path: the package's own file, or Google's `face_landmarker.task`.
        device: where it runs; pictures may be anywhere.
        thresholds: when something counts as a face.

    Raises:
        NetworkError: the file is broken, or holds other networks.
    """
    networks = {name: network.to(device) for name, network in read_networks(path).items()}
    return FaceLandmarker(networks, device, thresholds)


def read_networks(path: Path) -> dict[str, Network]:
    """Return the three networks of a file by name, on the CPU.

    Raises:
        NetworkError: the file is broken, or holds other networks.
    """
    networks = {}
    for name, graph in read_graphs(path, tuple(_SHAPES)).items():
        source = f"{path}: {name}"
        networks[name] = Network(graph, source)
        require_shapes(networks[name], source, *_SHAPES[name])
    return networks


def checked_picture(picture: UInt8[Tensor | np.ndarray, "height width 3"]) -> UInt8[Tensor, "height width 3"]:
    """Return a picture as a tensor.

    Raises:
        OptionError: it has other axes than height, width and three channels, other values than bytes, or no pixels.
    """
    pixels = torch.from_numpy(np.array(picture, order="C")) if isinstance(picture, np.ndarray) else picture
    if pixels.dim() != 3 or pixels.shape[2] != 3 or pixels.dtype != torch.uint8 or pixels.numel() == 0:
        raise OptionError(
            "expected a picture of bytes (uint8) with the axes height, width and three channels: convert it to RGB.",
            picture=f"{pixels.dtype} {list(pixels.shape)}",
        )
    return pixels


def _upright(height: int, width: int) -> list[Crop]:
    """Return the whole picture, and squares along a long one."""
    short, long = sorted((height, width))
    return [
        _whole(height, width),
        *(_squares(height, width, _least(height, width, short)) if long > _LONG * short else []),
    ]


def _least(height: int, width: int, side: float) -> float:
    """Return the side of squares; a picture that is a narrow strip is not cut into hundreds of them."""
    return max(side, max(height, width) / _MOST_SQUARES)


def _turned(height: int, width: int) -> list[Crop]:
    """Return the whole picture turned by quarters, as of a camera that lay on its side."""
    whole = _whole(height, width)
    return [Crop(whole.centre, whole.side, turns * math.pi / 2) for turns in (1, 2, 3)]


def _whole(height: int, width: int) -> Crop:
    return Crop((width / 2, height / 2), max(height, width))


def _squares(height: int, width: int, side: float) -> list[Crop]:
    """Return squares that cover a picture; neighbours share at least half of each."""
    rows, columns = (
        np.linspace(side / 2, size - side / 2, math.ceil(2 * (size - side) / side) + 1) if size > side else [size / 2]
        for size in (height, width)
    )
    return [Crop((float(x), float(y)), side) for y in rows for x in columns]


def _area(face: Face) -> float:
    left, top, right, bottom = face.box
    return (right - left) * (bottom - top)


def _distinct(faces: list[Face]) -> list[Face]:
    """Leave out faces that lie on a surer one: two boxes can lead to the same landmarks."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda each: each.confidence, reverse=True):
        others = torch.tensor([each.box for each in kept]).reshape(-1, 4)
        if not bool((face_boxes.overlap(torch.tensor(face.box), others) > _SAME_FACE).any()):
            kept.append(face)
    return kept
