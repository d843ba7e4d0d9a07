"""Provenance of figures: the machine, the date, and the version of the program."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import torch

import sage_ns


def provenance() -> dict[str, str | int | None]:
    """Return version, commit (None outside a repository), date (UTC), processor, cores, memory in bytes, GPU, torch."""
    return {
        "version": sage_ns.__version__,
        "commit": commit(Path(sage_ns.__file__)),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": _memory(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }


def commit(file: Path) -> str | None:
    """Return the short commit of the repository that tracks ``file``, or None; "+" marks changes in its folder."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", file.parent, *arguments], capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed package may lie, untracked, in the repository of another project.
    if git("ls-files", "--error-unmatch", file.name) is None:
        return None
    name = git("rev-parse", "--short", "HEAD")
    return f"{name}+" if name and git("status", "--porcelain", ".") else name


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
