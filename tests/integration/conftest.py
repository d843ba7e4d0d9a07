"""One avatar, trained for a few steps on a tiny capture, that all integration tests share."""

from __future__ import annotations

import importlib
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.commands import run_here, start_program
from tests.tiny_capture import write_tiny_capture
from tests.waiting import PATIENCE, wait_for

# nerfstudio inspects the whole call stack for each method that it lists: that takes 40 s below pytest's deep stack.
_shallow_stack = threading.Thread(target=importlib.import_module, args=("nerfstudio.configs.method_configs",))
_shallow_stack.start()
_shallow_stack.join()

NUM_SURFELS = 300
NUM_STEPS = 21


@dataclass(frozen=True)
class Run:
    """A finished training."""

    folder: Path
    capture: Path

    @property
    def config(self) -> Path:
        """What the other commands take as --load-config."""
        return self.folder / "config.yml"

    @property
    def checkpoints(self) -> Path:
        """What ns-train takes as --load-dir."""
        return self.folder / "nerfstudio_models"


@pytest.fixture
def port() -> int:
    """A TCP port that is free on this machine."""
    return free_port()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_viewer(run: Run, folder: Path, port: int) -> Iterator[Path]:
    """ns-viewer on an avatar, from when it answers; the file that holds what it prints."""
    printed = folder / "printed.txt"
    listen = ("--viewer.websocket-port", port, "--viewer.websocket-host", "127.0.0.1")
    viewer = start_program("ns-viewer", "--load-config", run.config, *listen, cwd=folder, output=printed)
    try:
        wait_for(lambda: viewer.poll() is not None or _answers(port), "ns-viewer")
        assert viewer.poll() is None, printed.read_text()
        yield printed
    except TimeoutError as error:
        raise TimeoutError(f"{error}\nns-viewer printed:\n{printed.read_text()}") from error
    finally:
        viewer.terminate()
        viewer.wait(timeout=PATIENCE)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}") as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained by ns-train with the viewer and tensorboard on, saved and evaluated on the way."""
    root = tmp_path_factory.mktemp("tiny_run")
    capture = write_tiny_capture(root / "capture", width=24, height=32)
    run_here(
        *("ns-train", "sage-multiview", "--data", capture, "--output-dir", root / "runs"),
        *("--experiment-name", "tiny", "--timestamp", "first", "--max-num-iterations", NUM_STEPS),
        *("--pipeline.model.num-surfels", NUM_SURFELS, "--pipeline.model.networks", True, "--steps-per-save", 10),
        *("--steps-per-eval-image", 5, "--steps-per-eval-batch", 7, "--steps-per-eval-all-images", 10),
        *("--vis", "viewer+tensorboard", "--viewer.websocket-port", free_port()),
        *("--viewer.websocket-host", "127.0.0.1"),
    )
    return Run(root / "runs" / "tiny" / "sage-multiview" / "first", capture)


@pytest.fixture
def capture_gone(tiny_run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """The run after its capture was moved away; the working directory is another one, too."""
    away = tiny_run.capture.with_name("moved_away")
    tiny_run.capture.rename(away)
    monkeypatch.chdir(tmp_path)
    yield tiny_run
    away.rename(tiny_run.capture)
