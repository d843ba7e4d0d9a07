"""``sage-capture`` end to end."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from sage_ns.cli.capture import main

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


def test_inspect_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["inspect", str(tmp_path)])
    assert "transforms_train.json" in capsys.readouterr().out
