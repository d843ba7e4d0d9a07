from __future__ import annotations

import json
import math
import shutil
import socket
from pathlib import Path

import pytest

from sage_ns.errors import CaptureError
from tests.integration.commands import run_here, run_program
from tests.integration.conftest import Run


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and no weights that a download might have left on this machine."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def evaluate(run: Run, tmp_path: Path) -> dict[str, float]:
    output = tmp_path / "figures.json"
    run_here("ns-eval", "--load-config", run.config, "--output-path", output)
    return json.loads(output.read_text())["results"]


@pytest.mark.usefixtures("offline")
def test_figures_of_unseen_expressions_and_of_the_novel_view(
    tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = evaluate(tiny_run, tmp_path)
    for prefix in ("", "novel_view_"):
        for name in ("psnr", "psnr_face", "ssim", "ssim_face"):
            assert math.isfinite(figures[prefix + name])
            assert figures[f"{prefix}{name}_std"] >= 0
        assert 10 < figures[prefix + "psnr"] < 60
    assert figures["fps"] > 0
    assert not [name for name in figures if "lpips" in name]
    printed = capsys.readouterr().out
    assert printed.count("LPIPS is left out") == 1 and "alexnet-owt-7be5be79.pth" in printed


@pytest.mark.usefixtures("offline")
def test_pictures_of_the_evaluation(tiny_run: Run, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    run_here(
        *("ns-eval", "--load-config", tiny_run.config, "--output-path", tmp_path / "figures.json"),
        *("--render-output-path", pictures),
    )
    names = sorted(path.name for path in pictures.iterdir())
    # 3 cameras at the one held-out timestep; 1 held-out camera at the canonical timestep
    assert names == [f"test_img_{index:04d}.png" for index in range(3)] + ["val_img_0000.png"]


@pytest.mark.usefixtures("offline")
def test_a_changed_head_model_file_does_not_matter_any_more(tiny_run: Run, tmp_path: Path) -> None:
    before = evaluate(tiny_run, tmp_path)
    file = tiny_run.capture / "head_model.npz"
    kept = tmp_path / "kept.npz"
    shutil.move(file, kept)
    file.write_bytes(b"not a head model")
    try:
        after = evaluate(tiny_run, tmp_path)
    finally:
        shutil.move(kept, file)
    assert {name: value for name, value in after.items() if "psnr" in name} == {
        name: value for name, value in before.items() if "psnr" in name
    }


@pytest.mark.usefixtures("offline")
def test_figures_do_not_depend_on_the_working_directory(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = evaluate(tiny_run, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert evaluate(tiny_run, tmp_path)["psnr"] == before["psnr"]


def test_without_its_capture_there_is_nothing_to_compare_with(capture_gone: Run, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=f"The pictures of {capture_gone.capture} are needed"):
        evaluate(capture_gone, tmp_path)
    code, printed = run_program(
        *("ns-eval", "--load-config", capture_gone.config, "--output-path", "figures.json"),
        cwd=tmp_path,
        output=tmp_path / "printed.txt",
    )
    assert code == 1
    assert "Traceback" not in printed and "CaptureError" in printed
    assert "are needed for this" in printed and "Put it, or a link to it, back there." in printed
    assert not (tmp_path / "figures.json").exists()
