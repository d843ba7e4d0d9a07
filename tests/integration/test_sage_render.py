"""``sage-render`` on a training run: its avatar, and the cameras that it has kept of its capture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sage_ns.cli.render import main
from tests.integration.conftest import Run


def test_a_run_is_rendered_through_its_captures_cameras(
    capture_gone: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--load-config", str(capture_gone.config), "--end", "2", "--camera"]
    for camera in ("capture:1", "capture:2"):  # the last one was held out
        main([*flags, camera, "--output", str(tmp_path / camera[-1])])
    one, other = (np.asarray(Image.open(tmp_path / name / "00001.png")).astype(int) for name in ("1", "2"))
    assert one.shape == other.shape == (32, 24, 3)
    assert np.abs(one - other).max() > 20
    with pytest.raises(SystemExit):
        main([*flags, "capture:9", "--output", str(tmp_path / "9")])
    assert "there is no camera 9; its cameras are 0, 1, 2" in " ".join(capsys.readouterr().out.split())
