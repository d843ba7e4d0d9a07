"""Bundles of pseudo views: round trip, every refusal, and captures that refuse them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sage_ns.capture.layout import read_capture
from sage_ns.capture.pseudo_views import NewView, read_bundle, write_bundle
from sage_ns.errors import CaptureError
from tests.tiny_capture import edit_frames, write_tiny_capture

POSE = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1.0], [0, 0, 0, 1]])


def view(confidence: bool = False) -> NewView:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (8, 6, 3), dtype=np.uint8)
    mask = np.full((8, 6), 255, dtype=np.uint8)
    believed = np.repeat(np.array([[0]] * 4 + [[255]] * 4, dtype=np.uint8), 6, axis=1) if confidence else None
    return NewView(image, mask, POSE, 20.0, 21.0, 3.0, 3.5, 0.25, believed)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "views", [view(), view(confidence=True)], "somebody", "for research")


def edit(bundle: Path, **changes: Any) -> None:
    path = bundle / "transforms.json"
    content = json.loads(path.read_text())
    for name, value in changes.items():
        content["frames"][1][name] = value
    path.write_text(json.dumps(content))


def test_round_trip(bundle: Path) -> None:
    read = read_bundle(bundle)
    assert (read.provider, read.licence, len(read.views)) == ("somebody", "for research", 2)
    first, second = read.views
    frame = first.frame
    assert (frame.fx, frame.fy, frame.cx, frame.cy, first.weight) == (20.0, 21.0, 3.0, 3.5, 0.25)
    assert np.array_equal(frame.camera_to_world, POSE)
    assert np.array_equal(np.array(Image.open(frame.image_path)), view().image)
    assert first.confidence().min() == 1
    half = second.confidence(2)
    assert half.shape == (4, 3, 1) and half[:2].max() == 0 and half[2:].min() == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pseudo": None}, r"frame 1: 'pseudo' is None; expected true"),
        ({"pseudo": False}, r"frame 1: 'pseudo' is False"),
        ({"weight": 2.0}, r"frame 1: 'weight' is 2.0; expected a number in 0..1"),
        ({"weight": "much"}, r"frame 1: 'weight'"),
        ({"fg_mask_path": None}, "neither 'fg_mask_path' nor alpha"),
        ({"confidence_path": "../../other.png"}, "confidence_path"),
        ({"transform_matrix": [[1.0]]}, "transform_matrix"),
        ({"file_path": "images/none.png"}, "missing"),
    ],
)
def test_bad_fields_are_named(bundle: Path, changes: dict[str, Any], message: str) -> None:
    edit(bundle, **changes)
    with pytest.raises(CaptureError, match=message):
        read_bundle(bundle)


def test_a_confidence_of_another_size_is_refused(bundle: Path) -> None:
    Image.fromarray(np.zeros((3, 3), dtype=np.uint8)).save(bundle / "confidence" / "001.png")
    with pytest.raises(CaptureError, match="3 x 3 px"):
        read_bundle(bundle).views[1].confidence()


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="no folder of pseudo views"):
        read_bundle(tmp_path)
    (tmp_path / "transforms.json").write_text('{"frames": []}')
    with pytest.raises(CaptureError, match="empty list"):
        read_bundle(tmp_path)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_captures_refuse_pseudo_views(tmp_path: Path, split: str) -> None:
    write_tiny_capture(tmp_path)
    edit_frames(tmp_path / f"transforms_{split}.json", pseudo=True)
    with pytest.raises(CaptureError, match=f"transforms_{split}.json, frame 0: 'pseudo' is True"):
        read_capture(tmp_path)
