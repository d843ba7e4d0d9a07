"""The snippets of ``docs/python.md`` run, one after the other, and the page explains every public name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import sage_ns
from sage_ns.avatar.avatar import Avatar
from tests.tiny import tiny_params
from tests.tiny_capture import write_tiny_capture

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")


def test_snippets_run(avatar_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(avatar_file, "avatar.npz")
    tiny_params(Avatar.load(avatar_file).rig.head_model, 2).save_vhap(tmp_path / "motion.npz")
    write_tiny_capture(tmp_path / "capture")
    names: dict[str, Any] = {}
    snippets = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(snippets) >= 8
    for snippet in snippets:
        exec(compile(snippet, "docs/python.md", "exec"), names)
    assert names["pixels"].shape == (500, 400, 3)
    assert (tmp_path / "video.mp4").stat().st_size > 0
    assert names["gradient"].abs().max() > 0


def test_every_public_name_is_explained() -> None:
    table = PAGE.partition("## All public names")[2]
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(sage_ns.__all__)


def test_snippets_use_public_names_alone() -> None:
    used = set(re.findall(r"sage_ns\.(\w+)", PAGE))
    assert used <= set(sage_ns.__all__)
    assert "from sage_ns" not in PAGE
