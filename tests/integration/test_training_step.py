"""The table of what a step costs, on a tiny capture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage_ns.bench.speed import training_step
from tests.integration.conftest import Run

ALWAYS = {"drawing", "image losses", "optimiser", "whole step"}


@pytest.mark.parametrize(
    ("method", "parts"),
    [
        ("sage-multiview", {"networks", "rays", "rays, rigid warp", "rays, rig warp", "points"} | ALWAYS),
        ("surfels", ALWAYS),
    ],
)
def test_every_part_of_a_step_is_timed(
    tiny_run: Run, method: str, parts: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    training_step.main(tiny_run.capture, method, networks=True, num_steps=1, json_path=path)
    figures = json.loads(path.read_text())
    assert set(figures) == parts
    assert all(0 < taken < 60_000 for taken in figures.values())
    assert "whole step" in capsys.readouterr().out
