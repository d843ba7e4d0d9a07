"""Boxes of faces from a detector's numbers."""

from __future__ import annotations

import torch

from sage_ns.tracking.face_boxes import NUM_ANCHORS, FaceBoxes, anchors, best, decoded, merged, overlap


def test_anchors_are_the_centres_of_two_grids():
    found = anchors()
    assert found.shape == (NUM_ANCHORS, 2)
    assert torch.equal(found[0], found[1]) and found[0].tolist() == [1 / 32, 1 / 32]
    assert found[2].tolist() == [3 / 32, 1 / 32] and found[32].tolist() == [1 / 32, 3 / 32]
    assert found[512].tolist() == [1 / 16, 1 / 16] and torch.equal(found[512], found[517])
    assert found[518].tolist() == [3 / 16, 1 / 16] and found[-1].tolist() == [15 / 16, 15 / 16]


def test_numbers_are_pixels_from_the_anchor():
    values, logits = torch.zeros(NUM_ANCHORS, 16), torch.full((NUM_ANCHORS,), -5.0)
    logits[0] = 2.0
    values[0] = torch.tensor([4.0, 8.0, 64.0, 32.0, *[12.8] * 12])
    found = decoded(values, logits, 0.5)
    centre = torch.tensor([1 / 32 + 4 / 128, 1 / 32 + 8 / 128])
    half = torch.tensor([0.25, 0.125])
    torch.testing.assert_close(found.boxes, torch.cat([centre - half, centre + half])[None])
    torch.testing.assert_close(found.points[0, 3], torch.tensor([1 / 32 + 0.1, 1 / 32 + 0.1]))
    torch.testing.assert_close(found.scores, torch.tensor([2.0]).sigmoid())
    assert len(decoded(values, logits, 0.9)) == 0


def boxes(*corners: tuple[float, float, float, float], scores: list[float]) -> FaceBoxes:
    whole = torch.tensor(corners, dtype=torch.float32)
    return FaceBoxes(whole, whole[:, None, :2].expand(-1, 6, 2), torch.tensor(scores))


def test_overlap_is_shared_over_joint_area():
    others = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0], [1.0, 1.0, 1.0, 1.0]])
    found = overlap(torch.tensor([0.0, 0.0, 2.0, 2.0]), others)
    torch.testing.assert_close(found, torch.tensor([1.0, 1 / 3, 0.0, 0.0]))


def test_boxes_of_one_face_are_averaged_by_their_scores():
    faces = boxes((0, 0, 10, 10), (2, 0, 12, 10), (50, 50, 60, 60), scores=[0.6, 0.9, 0.7])
    found = merged(faces)
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.7]))
    torch.testing.assert_close(found.boxes[0], torch.tensor([1.2, 0.0, 11.2, 10.0]))
    torch.testing.assert_close(found.points[0, 0], torch.tensor([1.2, 0.0]))
    torch.testing.assert_close(found.boxes[1], faces.boxes[2])


def test_the_best_of_overlapping_boxes_stays_as_it_is():
    faces = boxes((0, 0, 10, 10), (2, 0, 12, 10), (50, 50, 60, 60), scores=[0.6, 0.9, 0.7])
    assert best(faces).boxes.tolist() == [[2, 0, 12, 10], [50, 50, 60, 60]]


def test_no_face_stays_no_face():
    none = FaceBoxes(torch.zeros(0, 4), torch.zeros(0, 6, 2), torch.zeros(0))
    assert len(merged(none)) == len(best(none)) == len(FaceBoxes.joined([none, none])) == 0


def test_boxes_without_area_do_not_hang_the_search():
    found = merged(boxes((5, 5, 5, 5), (5, 5, 5, 5), scores=[0.6, 0.9]))
    assert found.scores.tolist() == torch.tensor([0.9, 0.6]).tolist()
