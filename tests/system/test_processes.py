from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sage_ns.errors import SageError
from sage_ns.system.processes import locked_folder
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_lock_holds_until_its_process_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from sage_ns.system.processes import locked_folder\n"
        "with locked_folder(Path(sys.argv[1]), 'test'):\n    print('locked', flush=True); time.sleep(10000)"
    )
    holder = start(script, tmp_path / "new")
    assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
    message = rf"new is in use by another test \(process {holder.pid}\)"
    with pytest.raises(SageError, match=message), locked_folder(tmp_path / "new", "test"):
        raise AssertionError
    holder.kill()
    holder.wait()
    for _ in range(2):
        with locked_folder(tmp_path / "new", "test"):
            pass


@pytest.mark.parametrize("kernel_helps", [True, False])
def test_a_worker_ends_with_its_parent(kernel_helps: bool) -> None:
    worker = (
        "import os, sys, time; from sage_ns.system import processes\n"
        f"if not {kernel_helps}: processes.sys = type('other', (), dict(platform='other'))\n"
        "processes.die_with(int(sys.argv[1])); print(os.getpid(), flush=True); time.sleep(10000)"
    )
    script = (
        "import os, subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', sys.argv[1], str(os.getpid())], start_new_session=True)"
    )
    parent = start(script, worker)
    assert parent.stdout is not None
    number = int(parent.stdout.readline())
    os.kill(number, 0)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + PATIENCE
    while _runs(number):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _runs(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
