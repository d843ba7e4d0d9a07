"""The line that says whom to trust: in nerfstudio's commands that load runs, and nowhere else."""

from __future__ import annotations

import sys

import pytest

from sage_ns.plugin.trust import note_whom_to_trust


@pytest.mark.parametrize("command", ["ns-viewer", "ns-eval", "ns-render"])
def test_commands_that_run_what_a_config_names_say_so(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"/usr/bin/{command}", "--load-config", "run/config.yml"])
    note_whom_to_trust()
    printed = capsys.readouterr().out
    assert printed.startswith(f"Note: {command} runs whatever code a config.yml names.")
    assert "sage-view RUN" in printed and printed.count("\n") == 1


@pytest.mark.parametrize("command", ["ns-train", "sage-view", "sage-render", "-c", ""])
def test_other_programs_say_nothing(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [command])
    note_whom_to_trust()
    assert not capsys.readouterr().out
