"""Where faces are: from the numbers of MediaPipe's short-range face detector to boxes with six points.

Source: BlazeFace (Bazarevsky et al., arXiv 1907.05047), and the settings of MediaPipe's graph
`mediapipe.tasks.vision.face_detector.FaceDetectorGraph`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

RESOLUTION = 128
"""Pixels per side of the picture that the detector sees."""
NUM_ANCHORS = 896
_GRIDS = ((16, 2), (8, 6))
"""Cells per side, and anchors in each cell."""
_NUM_VALUES = 16
RIGHT_EYE, LEFT_EYE = 0, 1
"""The person's own eyes, among the six points; then tip of the nose, mouth, right and left ear."""
_MOST_OVERLAP = 0.3
"""Intersection over union from which two boxes show the same face."""


@dataclass(frozen=True, eq=False)
class FaceBoxes:
    """Boxes of faces and six points in each, in pixels or as shares of a crop."""

    boxes: Float[Tensor, "n 4"]
    """Left, top, right, bottom."""
    points: Float[Tensor, "n 6 2"]
    scores: Float[Tensor, "n"]
    """0..1."""

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Tensor) -> FaceBoxes:
        return FaceBoxes(self.boxes[index], self.points[index], self.scores[index])

    @staticmethod
    def joined(parts: list[FaceBoxes]) -> FaceBoxes:
        """Return the faces of all parts."""
        return FaceBoxes(
            torch.cat([each.boxes for each in parts]),
            torch.cat([each.points for each in parts]),
            torch.cat([each.scores for each in parts]),
        )


def anchors() -> Float[Tensor, "896 2"]:
    """Return the centres of the anchors, as shares of the crop; all have the crop's size.

    Those of a cell are one after another, cells go along rows, and the fine grid comes first.
    """
    centres = []
    for cells, count in _GRIDS:
        steps = (torch.arange(cells, dtype=torch.float32) + 0.5) / cells
        grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
        centres.append(grid.reshape(-1, 2).repeat_interleave(count, dim=0))
    return torch.cat(centres)


def decoded(values: Float[Tensor, "896 16"], logits: Float[Tensor, "896"], least_score: float) -> FaceBoxes:
    """Return the faces of the detector's numbers, as shares of the crop, before the same ones are joined.

    Args:
        values: for each anchor centre and size of the box, then the six points; pixels of the detector's picture,
            places relative to the anchor.
        logits: for each anchor, of a face.
        least_score: of the faces to return.
    """
    scores = logits.clamp(-100.0, 100.0).sigmoid()
    kept = ((scores >= least_score) & values.isfinite().all(1)).nonzero()[:, 0]
    centres = anchors().to(values)[kept]
    numbers = values[kept].reshape(-1, _NUM_VALUES // 2, 2) / RESOLUTION
    centre, size = numbers[:, 0] + centres, numbers[:, 1]
    boxes = torch.cat([centre - size / 2, centre + size / 2], dim=1)
    return FaceBoxes(boxes, numbers[:, 2:] + centres[:, None], scores[kept])


def overlap(box: Float[Tensor, "4"], others: Float[Tensor, "n 4"]) -> Float[Tensor, "n"]:
    """Return the areas of intersection over those of union; 0 for boxes without area."""
    sides = (torch.minimum(box[2:], others[:, 2:]) - torch.maximum(box[:2], others[:, :2])).clamp_min(0.0)
    shared = sides.prod(-1)
    areas = [(each[..., 2:] - each[..., :2]).clamp_min(0.0).prod(-1) for each in (box, others)]
    return shared / (areas[0] + areas[1] - shared).clamp_min(1e-12)


def merged(faces: FaceBoxes) -> FaceBoxes:
    r"""Return each face once: the best box, moved to the mean of those that overlap it, weighted by their scores.

    BlazeFace's replacement of non-maximum suppression, which trembles less. The scores are those of the best boxes, and
    fall.
    """
    rest: Int64[Tensor, "n"] = faces.scores.argsort(descending=True, stable=True)
    boxes, points, best = [], [], []
    while len(rest):
        same = overlap(faces.boxes[rest[0]], faces.boxes[rest]) > _MOST_OVERLAP
        same[0] = True  # also one without area
        group = rest[same]
        weights = faces.scores[group] / faces.scores[group].sum()
        boxes.append(weights @ faces.boxes[group])
        points.append((weights[:, None, None] * faces.points[group]).sum(0))
        best.append(faces.scores[rest[0]])
        rest = rest[~same]
    if not best:
        return faces
    return FaceBoxes(torch.stack(boxes), torch.stack(points), torch.stack(best))


def best(faces: FaceBoxes) -> FaceBoxes:
    """Return, of faces that overlap, the one with the highest score: plain non-maximum suppression."""
    rest = faces.scores.argsort(descending=True, stable=True)
    kept = []
    while len(rest):
        kept.append(rest[0])
        rest = rest[1:][overlap(faces.boxes[rest[0]], faces.boxes[rest[1:]]) <= _MOST_OVERLAP]
    return faces[torch.stack(kept)] if kept else faces
