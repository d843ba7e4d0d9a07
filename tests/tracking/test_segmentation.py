"""The person before the scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sage_ns.errors import NetworkError, OptionError
from sage_ns.tracking.segmentation import load_segmenter
from tests.tracking.tflite_writer import small_network


def test_the_astronaut_is_told_from_flag_and_shuttle():
    astronaut = pytest.importorskip("skimage.data", reason="scikit-image has the photograph").astronaut()
    segment = load_segmenter()
    mask = segment(astronaut)
    assert mask.shape == astronaut.shape[:2] and float(mask.min()) >= 0.0 and float(mask.max()) <= 1.0
    assert mask[100:170, 205:245].min() > 0.9  # face
    assert mask[330:480, 60:230].mean() > 0.9  # suit
    assert mask[10:100, 440:500].max() < 0.1  # sky
    assert mask[100:200, 5:40].mean() < 0.1  # flag
    small = segment(np.ascontiguousarray(astronaut[::2, ::2][:, :200]))
    assert small.shape == (256, 200)


def test_what_is_no_picture_or_no_such_network_is_refused(tmp_path: Path, shapes_unchecked):
    with pytest.raises(OptionError):
        load_segmenter()(np.zeros((4, 4), np.uint8))
    (tmp_path / "other.tflite").write_bytes(small_network())
    with pytest.raises(NetworkError, match=r"other\.tflite: selfie_segmentation: found inputs"):
        load_segmenter(tmp_path / "other.tflite")
