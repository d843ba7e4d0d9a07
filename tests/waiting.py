"""How tests wait for programs, servers and pages: long, because a busy machine is slow."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 600.0
"""Seconds that a test waits for a program or for an answer of one."""

T = TypeVar("T")


def wait_for(
    ask: Callable[[], T | None], what: str, seconds: float = PATIENCE, instead: Callable[[], str] | None = None
) -> T:
    """The first answer of ``ask`` that is neither None nor False; asked until then.

    Args:
        what: what the test waits for, for the error message.
        instead: says what is there instead, for the error message.

    Raises:
        TimeoutError: there was no answer in time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = ask()
        if answer is not None and answer is not False:
            return answer
        time.sleep(0.02)
    found = "" if instead is None else f"; {instead()}"
    raise TimeoutError(f"{what}: not within {seconds:.0f} s{found}")
