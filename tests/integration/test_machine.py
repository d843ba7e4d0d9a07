"""Machines that refuse: a full disk and a read-only home, both real (mounted; skipped without the right to mount)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sage_ns.cli import capture, export
from sage_ns.errors import WriteError
from tests.integration.commands import run_here
from tests.integration.conftest import Run
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar

PEOPLE = ("--width", "200", "--height", "300", "--num-cameras", "4", "--num-train-timesteps", "2", "--workers", "1")
FEW = ("--num-test-timesteps", "1", "--num-driver-timesteps", "2", "--supersampling", "1", "--hair", "none")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def messages(main: Callable[[list[str]], None], capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command prints that ends with exit code 1."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([str(each) for each in arguments])
    assert stopped.value.code == 1
    return " ".join(capsys.readouterr().out.split())


def test_a_full_disk_is_one_message_of_every_command_and_nothing_half_written(
    small_disk: Path, tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    avatar = tmp_path / "avatar.npz"
    tiny_avatar(tiny_head_model(), 5000).save(avatar)
    (small_disk / "old").write_bytes(bytes(20_000))
    writing: dict[str, tuple[Any, ...]] = {
        "person": (capture.main, "synthesize", small_disk / "person", *PEOPLE, *FEW),
        "a.npz": (export.main, "avatar", small_disk / "a.npz", "--load-config", avatar),
        "splats": (export.main, "splats", "--load-config", avatar, "--output-dir", small_disk / "splats"),
    }
    for name, (main, *arguments) in writing.items():
        printed = messages(main, capsys, *arguments)
        assert "No space left on device" in printed and f"{small_disk}/{name}" in printed, printed
        assert "Traceback" not in printed and ".sage-" not in printed
        assert [path.name for path in small_disk.rglob("*") if path.is_file()] == ["old"], name
    with pytest.raises(WriteError, match=r"small/runs.* cannot be written: No space left on device"):
        run_here(
            *("ns-train", "sage-multiview", "--data", tiny_run.capture, "--output-dir", small_disk / "runs"),
            *("--vis", "tensorboard", "--max-num-iterations", 3, "--pipeline.model.num-surfels", 5000),
        )
    assert not list(small_disk.rglob("*.ckpt")) and not list(small_disk.rglob(".sage-*"))


_DRAWS = """
import sys
from pathlib import Path
from typing import Any
from sage_ns.video.ffmpeg import put_ffmpeg_on_path
put_ffmpeg_on_path()
import sage_ns.raster.numba_backend, sage_ns.geometry.rotations
from sage_ns.synthetic.head import builtin_head
import torch
from sage_ns.geometry.rotations import quaternion_to_matrix
print(quaternion_to_matrix(torch.tensor([[1.0, 0.0, 0.0, 0.0]])).sum())
"""


def test_with_a_read_only_home_and_installation_programs_start_and_say_where_kernels_go(tmp_path: Path) -> None:
    package = Path(__file__).parents[2] / "sage_ns"
    script = f"""
mount --make-rprivate / && mkdir -p {tmp_path}/home && mount -t tmpfs -o ro,size=1m tmpfs {tmp_path}/home || exit 77
mount --bind {package} {package} && mount -o remount,ro,bind {package} || exit 77
touch {package}/x 2>/dev/null && exit 78
export HOME={tmp_path}/home PATH=/usr/bin:/bin TMPDIR={tmp_path}/tmp PYTHONPATH={package.parent}
unset XDG_CACHE_HOME SAGE_CACHE NUMBA_CACHE_DIR
cd {tmp_path} && exec {sys.executable} -c "$0"
"""
    (tmp_path / "tmp").mkdir()
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    command = ["unshare", "-m", "sh", "-c", script, _DRAWS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("needs the right to mount a disk")
    assert done.returncode == 0 and "tensor(3.)" in done.stdout, done.stderr
    notes = [line for line in done.stderr.splitlines() if "cannot be written" in line]
    assert len(notes) == 1 and "NUMBA_CACHE_DIR" in notes[0] and "SAGE_CACHE" in notes[0], done.stderr
