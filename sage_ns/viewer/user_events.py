"""Telling what somebody did on the page from what the program itself set there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import viser


def from_users(handle: Callable[[], Any]) -> Callable[[viser.GuiEvent], None]:
    """Calls ``handle`` when somebody changed an element. viser also reports what the program sets, without a client."""

    def on_event(event: viser.GuiEvent) -> None:
        if event.client is not None:
            handle()

    return on_event


def as_code(text: str) -> str:
    """Text of any kind for viser's markdown, which takes braces and angle brackets for programs."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"
