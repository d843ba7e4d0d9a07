"""A real photograph with the networks of the package: NASA's portrait of Eileen Collins, which scikit-image ships."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sage_ns.capture.checked import CaptureOptions, load_capture
from sage_ns.cli import track as cli

FACE = (225, 110)
"""A pixel on her nose (x, y)."""


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = pytest.importorskip("skimage.data")
    path = tmp_path_factory.mktemp("photo") / "astronaut.png"
    Image.fromarray(data.astronaut()).save(path)
    return path


@pytest.fixture(scope="module")
def capture(photo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tracked") / "astronaut"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SAGE_HEAD_MODEL", raising=False)
        cli.main([str(photo), str(out)])
    return out


def test_a_real_face_is_fitted_and_cut_out(capture: Path) -> None:
    report = json.loads((capture / "tracking.json").read_text())
    left, top, right, bottom = report["face"]["box"]
    assert left < FACE[0] < right and top < FACE[1] < bottom and 70 < right - left < 130
    assert report["face"]["confidence"] > 0.9 and report["face"]["turn_degrees"] < 25
    assert report["landmarks"]["rms_of_face_width"] < 0.03
    frame = load_capture(CaptureOptions(capture, frames="photo")).splits.train[0]
    matte = np.asarray(Image.open(frame.mask_path))  # type: ignore[arg-type]
    picture = report["picture"]
    row, column = FACE[1] - picture["top"], FACE[0] - picture["left"]
    assert matte[row, column] == 255
    assert matte[:4].mean() < 30 and matte[:, :3].mean() < 30  # the shuttle, the flag
    assert 0.2 < (matte > 128).mean() < 0.7


@pytest.mark.slow
def test_an_avatar_can_be_trained_on_it(capture: Path, tmp_path: Path) -> None:
    from tests.integration.test_oneshot import checkpoint, trained

    run = trained(capture, tmp_path, "astronaut")
    assert len(checkpoint(run)["pipeline"]["_model.learner.avatar.evidence"]) == 300
