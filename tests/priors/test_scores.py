"""``sage-prior score``: completed people against pictures of other cameras and moments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sage_ns.capture.checked import CaptureOptions
from sage_ns.cli.prior import main
from sage_ns.errors import CaptureError
from sage_ns.image.metrics import psnr
from sage_ns.priors.scores import Scored, Trial, score, summary
from sage_ns.priors.sources import Fill
from tests.tiny_capture import write_tiny_capture
from tests.tiny_turning import write_tiny_turning


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_turning(tmp_path_factory.mktemp("photo") / "anna", num_turning=1)


@pytest.fixture(scope="module")
def trial(photo: Path) -> Trial:
    return Trial.read(CaptureOptions(photo, frames="photo"))


def test_pictures_are_grouped_by_moment_and_by_camera(trial: Trial) -> None:
    moments = {float(motion.sum()) for group, _, motion in trial.truths if group in ("photo", "others")}
    assert len(moments) > 1, "test moments are compared as they are posed"
    groups = [group for group, _, _ in trial.truths]
    assert "photo" in groups and set(groups) <= {"photo", "others", "front", "slanting", "side"}
    of_photo = next(shot for group, shot, _ in trial.truths if group == "photo")
    assert of_photo.camera.center.allclose(trial.photo.camera.center)


def test_a_person_who_covers_the_mask_is_better_than_nobody(trial: Trial, tmp_path: Path) -> None:
    sheet = tmp_path / "sheets" / "anna.png"
    scored = score(Fill(300, 0.02), trial, sheet=sheet)
    assert len(scored) == len(trial.truths)
    nobody = [psnr(trial.record.background.expand_as(shot.picture), shot.picture) for _, shot, _ in trial.truths]
    assert np.mean([each.figures["psnr"] for each in scored]) > np.mean(nobody) + 3.0
    cameras = {tuple(shot.camera.center.tolist()) for _, shot, _ in trial.truths}
    height, width = trial.photo.picture.shape[:2]
    assert Image.open(sheet).size == (width * len(cameras), 2 * height)


def test_the_summary_is_the_mean_of_each_group_and_all_are_the_other_moments() -> None:
    groups = summary(
        [Scored("photo", {"psnr": 30.0}), Scored("others", {"psnr": 20.0}), Scored("others", {"psnr": 22.0}),
         Scored("side", {"psnr": 10.0})]
    )  # fmt: skip
    assert {group: figures["psnr"] for group, figures in groups.items()} == {
        "photo": 30.0,
        "others": 21.0,
        "all": 24.0,
        "side": 10.0,
    }


def test_of_a_turning_head_the_canonical_picture_is_the_photo_and_a_rig_is_refused(tmp_path: Path) -> None:
    turning = write_tiny_turning(tmp_path / "turning", num_turning=3)
    assert len(Trial.read(CaptureOptions(turning, frames="photo")).photo.picture.shape) == 3
    rig = write_tiny_capture(tmp_path / "rig", num_cameras=4)
    with pytest.raises(CaptureError, match="rig"):
        Trial.read(CaptureOptions(rig, frames="photo"))


def test_the_command_prints_mean_and_worst_and_writes_all_figures(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sage_ns.cli.prior_score.NUM_SURFELS", 200)
    other = write_tiny_turning(tmp_path / "ben", num_turning=1)
    output = tmp_path / "scores.json"
    main(["score", "fill", "--captures", str(photo), str(other), "--output", str(output)])
    printed = " ".join(capsys.readouterr().out.split())
    assert "anna" in printed and "ben" in printed and "mean" in printed and "worst" in printed
    found = json.loads(output.read_text())["fill"]
    assert set(found) == {"anna", "ben"} and found["anna"]["all"]["psnr"] > 5.0


@pytest.mark.parametrize(
    ("more", "message"),
    [(["--every", "0"], "--every"), (["--downscale-factor", "0"], "--downscale-factor")],
)
def test_options_that_cannot_be_used_are_named(
    photo: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["score", "fill", "--captures", str(photo), *more])
    assert message in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["score", "nothing.npz", "--captures", str(photo)])
    assert "nothing.npz is no file" in " ".join(capsys.readouterr().out.split())
