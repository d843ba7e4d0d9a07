"""``sage-demo`` of each regime, on tiny captures for a few steps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sage_ns.cli.demo import REGIMES, Demo, with_default_photo
from sage_ns.cli.demo_photo import ASTRONAUT, _astronaut
from sage_ns.errors import OptionError, TrackingError
from sage_ns.plugin.methods import METHODS
from sage_ns.plugin.run_config import load_run_config
from sage_ns.plugin.showcase import SHEETS
from sage_ns.synthetic.regimes import REGIMES as FILMED
from sage_ns.tracking.photo import read_photo
from sage_ns.video.contact_sheet import LABEL_HEIGHT
from sage_ns.video.ffmpeg import inspect_media
from tests.integration.conftest import NUM_SURFELS
from tests.tiny_turning import write_tiny_turning


def test_every_regime_has_a_demo_a_sheet_and_a_method() -> None:
    assert set(REGIMES) == set(SHEETS) == set(FILMED) - {"moment"}, "one moment seen by many cameras teaches priors"
    assert {regime.method for regime in REGIMES.values()} <= set(METHODS)
    assert len({regime.folder for regime in REGIMES.values()}) == len(REGIMES)


def test_photo_without_a_file_is_the_astronaut() -> None:
    assert with_default_photo(["--photo"]) == ["--photo", ASTRONAUT]
    assert with_default_photo(["out", "--photo", "--steps", "5"]) == ["out", "--photo", ASTRONAUT, "--steps", "5"]
    assert with_default_photo(["--photo", "me.jpg", "out"]) == ["--photo", "me.jpg", "out"]
    assert with_default_photo(["out"]) == ["out"]
    assert read_photo(_astronaut()).size == (512, 512)


def test_a_capture_and_a_photo_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="not both"):
        Demo(tmp_path / "out", data=tmp_path, photo=ASTRONAUT).run()


def test_another_photo_of_the_same_name_is_refused(tmp_path: Path) -> None:
    capture = tmp_path / "capture_photo_astronaut"
    capture.mkdir()
    (capture / "transforms.json").write_text("{}")
    (capture / "tracking.json").write_text('{"source": {"sha256": "0"}}')
    with pytest.raises(TrackingError, match="was made of another photo"):
        Demo(tmp_path, photo=ASTRONAUT).run()


@pytest.mark.slow
def test_a_photo_becomes_a_moving_avatar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = METHODS["sage-oneshot"].pipeline.model
    monkeypatch.setattr(model, "num_surfels", NUM_SURFELS)
    monkeypatch.setattr(model, "residual_steps", 2)
    for _ in range(2):  # the second run finds the capture
        Demo(tmp_path, photo=ASTRONAUT, steps=6, preset="small").run()
    assert not (tmp_path / "metrics.json").exists()
    assert json.loads((tmp_path / "capture_photo_astronaut" / "tracking.json").read_text())["consent"]
    # The picture, four views and three driven expressions without truth.
    sheet = np.asarray(Image.open(tmp_path / "contact_sheet.png"))
    assert (sheet.shape[0] - LABEL_HEIGHT) % 7 == 0
    media = inspect_media(tmp_path / "reenactment.mp4")
    assert media.seconds and media.seconds > 5


def test_one_camera_and_a_turning_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METHODS["sage-monocular"].pipeline.model, "num_surfels", NUM_SURFELS)
    capture = write_tiny_turning(tmp_path / "capture")
    out = tmp_path / "out"
    Demo(out, regime="monocular", data=capture, steps=12, preset="small").run()
    metrics = json.loads((out / "metrics.json").read_text())
    assert {"psnr", "psnr_face", "novel_view_psnr"} <= set(metrics) and np.isfinite(metrics["psnr"])
    (run,) = (out / "runs").rglob("config.yml")
    assert load_run_config(run).method_name == "sage-monocular"
    # The front, both turns, a held-out camera, two unseen expressions, and two sides without a picture.
    sheet = np.asarray(Image.open(out / "contact_sheet.png")).astype(int)
    height, rest = divmod(sheet.shape[0] - LABEL_HEIGHT, 8)
    assert rest == 0 and height > LABEL_HEIGHT
    for row in range(8):
        top = LABEL_HEIGHT + row * height
        truth, render = (sheet[top : top + height - LABEL_HEIGHT, left : left + 20] for left in (4, 36))
        assert (truth.min() == 255) == (row >= 6) and render.min() < 200
    assert inspect_media(out / "reenactment.mp4").seconds


def test_one_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = METHODS["sage-oneshot"].pipeline.model
    monkeypatch.setattr(model, "num_surfels", NUM_SURFELS)
    monkeypatch.setattr(model, "residual_steps", 2)
    out = tmp_path / "out"
    capture = write_tiny_turning(tmp_path / "capture", num_turning=1)
    Demo(out, regime="oneshot", data=capture, steps=6, preset="small").run()
    metrics = json.loads((out / "metrics.json").read_text())
    assert {"psnr", "psnr_face", "novel_view_psnr"} <= set(metrics) and np.isfinite(metrics["psnr"])
    # The picture, two held-out cameras, two unseen expressions, and the back without a picture.
    sheet = np.asarray(Image.open(out / "contact_sheet.png")).astype(int)
    height, rest = divmod(sheet.shape[0] - LABEL_HEIGHT, 6)
    assert rest == 0 and height > LABEL_HEIGHT
    for row in range(6):
        top = LABEL_HEIGHT + row * height
        assert (sheet[top : top + height - LABEL_HEIGHT, 4:24].min() == 255) == (row == 5)
