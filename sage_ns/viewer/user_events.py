"""Distinguish changes by the user from changes by the program on the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import viser


def from_users(handle: Callable[[], Any]) -> Callable[[viser.GuiEvent], None]:
    """Return a viser handler that calls ``handle`` for changes by the user; changes by the program have no client."""

    def on_event(event: viser.GuiEvent) -> None:
        if event.client is not None:
            handle()

    return on_event


def as_code(text: str) -> str:
    """Quote text for viser's markdown, which would interpret braces and angle brackets."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"
