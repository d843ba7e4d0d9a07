"""``sage-capture rig``: the command writes what the converter returns, and refuses names and folders that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_ns.cli import capture as cli
from sage_ns.rig import facekit, load_head_model
from tests.rig.facekit.tiny_facekit import write_tiny_facekit


def test_the_command_writes_a_head_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = write_tiny_facekit(tmp_path / "clone" / "FaceXModel")
    convert = facekit.head_model_from_facekit
    monkeypatch.setattr(
        facekit, "head_model_from_facekit", lambda folder, num, progress: convert(folder, 300, layout, progress)
    )
    out = tmp_path / "head.npz"
    command = ["rig", str(tmp_path / "clone"), str(out), "--from", "ict-facekit"]
    cli.main(command)
    assert load_head_model(out).expression_names == ("eyeLookUp_L", "mouthSmile_L")
    assert "2 named expressions" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(command)  # it exists


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "head.npz"], "found no generic_neutral_mesh.obj"),
        (["nowhere", "head.pkl"], "ends in .npz"),
        (["nowhere", "head.npz", "--vertices", "10"], "1000 to 20000"),
    ],
)
def test_what_the_command_refuses(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        cli.main(["rig", *arguments, "--from", "ict-facekit"])
    captured = capsys.readouterr()
    assert message in " ".join((captured.out + captured.err).split())
