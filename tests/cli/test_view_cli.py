"""``sage-view``: what it is given is checked before nerfstudio starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sage_ns.cli import view


@pytest.mark.parametrize("name", ["missing.npz", "missing/config.yml"])
def test_what_does_not_exist_is_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        view.main([str(tmp_path / name)])
    assert Path(name).name in capsys.readouterr().out.replace("\n", "")


def test_another_npz_is_no_avatar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "motion.npz", expr=np.zeros((3, 5)))
    with pytest.raises(SystemExit):
        view.main([str(tmp_path / "motion.npz")])
    assert "not an avatar file" in capsys.readouterr().out
