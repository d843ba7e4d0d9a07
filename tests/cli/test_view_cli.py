"""``sage-view``: what it is given is checked before nerfstudio starts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sage_ns.cli import view
from sage_ns.viewer.access import Access, granted


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


@pytest.mark.parametrize("option", ["--motion none.npz", "--allow none", "--allow ~nosuchuser/x"])
def test_paths_of_options_must_exist(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        view.main([str(tmp_path / "config.yml"), *option.split()])
    assert f"{option}: no such" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize("drive", ["none.mp4", "webcams"])
def test_who_drives_is_checked_first(drive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        view.main([str(tmp_path / "config.yml"), "--drive", drive])
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{drive}: no such file. Give webcam, webcam:NUMBER, or the file of a clip" in printed


def test_the_panel_learns_what_the_command_line_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Access, str]] = []

    def start(config: Any, pipeline: Any, step: int) -> None:
        seen.append((granted(), config.viewer.websocket_host))

    loaded = SimpleNamespace(
        config=SimpleNamespace(viewer=SimpleNamespace(num_rays_per_chunk=1)), pipeline=None, step=0
    )
    monkeypatch.setattr("sage_ns.plugin.run_setup.load_run", lambda *_: loaded)
    monkeypatch.setattr("nerfstudio.scripts.viewer.run_viewer._start_viewer", start)
    run = tmp_path / "config.yml"
    run.touch()
    view.main([str(run), "--allow", str(tmp_path), "--motion", str(run)])
    view.main([str(run), "--host", "0.0.0.0"])
    assert seen[0] == (Access(run, (tmp_path,), host_chosen=True), "127.0.0.1")
    assert seen[1] == (Access(host_chosen=True), "0.0.0.0")
    assert granted() == Access(), "other viewers are not allowed the same"
