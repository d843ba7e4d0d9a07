"""``sage-capture`` end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sage_ns.cli.capture import main
from sage_ns.errors import SageError
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar
from tests.tiny_capture import edit_frames, write_tiny_capture
from tests.tiny_turning import write_tiny_turning

FLAGS = ["--width", "30", "--height", "44", "--num-cameras", "4", "--num-train-timesteps", "1"]
FLAGS += ["--num-test-timesteps", "1", "--num-driver-timesteps", "2", "--supersampling", "1", "--workers", "1"]


def test_synthesize_then_inspect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "person"
    main(["synthesize", str(out), "--hair", "none", *FLAGS])
    assert (out / "transforms.json").is_file()
    capsys.readouterr()
    main(["inspect", str(out)])
    printed = capsys.readouterr().out
    assert "30 x 44" in printed
    assert "built-in head" in printed
    assert "test (held-out moments)" in printed
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.width > 5 * 30
    with pytest.raises(SystemExit) as stopped:
        main(["synthesize", str(out), *FLAGS])
    assert stopped.value.code == 1
    assert "--overwrite" in capsys.readouterr().out


def test_inspect_says_where_pictures_come_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiny_capture(tmp_path / "capture")
    (folder / "tracking.json").write_text('{"source": {"file": "me.jpg"}, "consent": "", "notes": ["small"]}')
    main(["inspect", str(folder)])
    printed = capsys.readouterr().out
    assert "me.jpg" in printed and "nobody has stated that the person agrees" in printed and "small" in printed
    avatar = tiny_avatar(tiny_head_model(), num_surfels=30)
    avatar.provenance = '{"source": {"file": "me.jpg", "sha256": "ab"}, "consent": "[red]yes"}'
    avatar.save(tmp_path / "avatar.npz")
    main(["inspect", str(tmp_path / "avatar.npz")])
    printed = capsys.readouterr().out
    assert "30" in printed and "me.jpg (SHA-256 ab)" in printed and "[red]yes" in printed


def test_inspect_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["inspect", str(tmp_path)])
    assert "transforms_train.json" in capsys.readouterr().out


def damaged(folder: Path, kind: str) -> Path:
    image, mask, params = folder / "images/00001_01.png", folder / "fg_masks/00001_01.png", folder / "flame_param"
    if kind == "missing-image":
        image.unlink()
    if kind == "truncated-image":
        image.write_bytes(image.read_bytes()[:300])
    if kind == "wrong-size":
        Image.new("RGB", (16, 20)).save(image)
    if kind == "missing-mask":
        mask.unlink()
    if kind == "inverted-mask":
        Image.fromarray(255 - np.asarray(Image.open(mask))).save(mask)
    if kind == "missing-npz":
        (params / "00001.npz").unlink()
    if kind == "nan-later":
        arrays = dict(np.load(params / "00001.npz"))
        np.savez(params / "00001.npz", **{**arrays, "expr": np.full_like(arrays["expr"], np.nan)})
    for name in folder.glob("transforms*.json"):
        if kind == "opencv-axes":
            edit_frames(name, transform_matrix=lambda rows: (np.array(rows) * [1, -1, -1, 1]).tolist())
        if kind == "distortion":
            edit_frames(name, k1=-0.25, k2=0.08)
    return folder


@pytest.mark.parametrize(
    "kind",
    [
        *("missing-image", "truncated-image", "wrong-size", "missing-mask", "inverted-mask", "missing-npz"),
        *("nan-later", "opencv-axes", "distortion"),
    ],
)
def test_inspect_makes_the_checks_of_training(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    from sage_ns.plugin.dataparser import FlameCaptureDataParserConfig

    folder = damaged(write_tiny_capture(tmp_path / "capture"), kind)
    with pytest.raises(SageError) as refused:
        FlameCaptureDataParserConfig(data=folder, frames="multi").setup().get_dataparser_outputs("train")
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", str(folder)])
    assert stopped.value.code == 1
    assert "".join(str(refused.value).split()) in "".join(capsys.readouterr().out.split())
    assert not (folder / "contact_sheet.png").exists()


def test_inspect_names_frames_in_two_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiny_capture(tmp_path / "capture")
    (folder / "transforms_val.json").write_text((folder / "transforms_train.json").read_text())
    main(["inspect", str(folder)])
    assert "6 frames of the val split are left out" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("kind", ["missing-image", "truncated-image", "opencv-axes", "missing-npz"])
def test_inspect_without_masks_checks_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    folder = damaged(write_tiny_capture(tmp_path / "capture"), kind)
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", str(folder), "--no-use-masks"])
    assert stopped.value.code == 1 and str(folder) in "".join(capsys.readouterr().out.split())


def test_inspect_says_what_a_turning_head_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiny_turning(tmp_path / "wide")
    main(["inspect", str(folder), "--frames", "rotation"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "canonical timestep" in printed and "8 frames of a turning head" in printed
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.width > 5 * 32 and sheet.height > 2 * 40  # all moments of the one camera, in two rows
    main(["inspect", str(write_tiny_turning(tmp_path / "narrow", yaw=12.0)), "--frames", "rotation"])
    assert "turns by 24 degrees only" in " ".join(capsys.readouterr().out.split())
    main(["inspect", str(write_tiny_turning(tmp_path / "moving", moving_camera=True))])
    assert "--light-axes camera" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_turning": 1}, "1 of 1 training frames"),
        ({"yaw": 0.0, "pitch": 0.0}, "turns by 0.0 degrees only"),
    ],
)
def test_inspect_refuses_a_head_that_does_not_turn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: dict[str, Any], message: str
) -> None:
    folder = write_tiny_turning(tmp_path / "capture", **settings)
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", str(folder), "--frames", "rotation"])
    assert stopped.value.code == 1 and message in " ".join(capsys.readouterr().out.split())


def made(case: Path, source: Path, out: Path, *kind: str) -> Path:
    subprocess.run([sys.executable, case / "make.py", source, out, *kind], check=True)
    return out


def test_known_cases(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = shared / "cases"
    if not cases.is_dir():
        pytest.skip(f"no cases under {shared}")
    source = tmp_path / "source"
    flags = ["--scale", "0.25", "--num-train-timesteps", "3", "--num-test-timesteps", "4", "--workers", "1"]
    main(["synthesize", str(source), "--supersampling", "1", *flags])
    main(["inspect", str(made(cases / "03-mask-16-bit", source, tmp_path / "16-bit"))])
    bad = [("06-lens-distortion", "opencv"), ("06-lens-distortion", "fisheye")]
    kinds = ("missing-image", "truncated-image", "wrong-size", "missing-mask", "nan-later", "opencv-axes")
    bad += [("01-inspect-checks-nothing", kind) for kind in (*kinds, "missing-npz")]
    for case, kind in bad:
        folder = made(cases / case, source, tmp_path / kind, kind)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(["inspect", str(folder)])
        assert stopped.value.code == 1 and "Error: " in capsys.readouterr().out, kind
