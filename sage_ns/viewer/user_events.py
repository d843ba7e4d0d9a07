"""Distinguish changes by the user from changes by the program on the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import viser

_LONGEST_TEXT = 2000


def from_users(handle: Callable[[], Any]) -> Callable[[viser.GuiEvent], None]:
    """Return a viser handler that calls ``handle`` for changes by the user; changes by the program have no client."""

    def on_event(event: viser.GuiEvent) -> None:
        if event.client is not None:
            handle()

    return on_event


def as_code(text: str) -> str:
    """Quote text for viser's markdown, on one line and at most `_LONGEST_TEXT` characters long.

    In code, the page interprets neither braces nor angle brackets. viser itself replaces ``![..](path)`` by the picture
    at the path, in code as well; a space breaks that. What cannot be printed becomes a question mark.
    """
    line = "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))
    if len(line) > _LONGEST_TEXT:
        line = f"{line[:_LONGEST_TEXT]} ..."
    return f"`{line.replace('`', chr(39)).replace('![', '! [')}`"
