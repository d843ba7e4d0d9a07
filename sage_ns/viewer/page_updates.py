"""Check what a page sends before viser applies it: a page may send more than its controls let a user enter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import viser
from viser._messages import GuiUpdateMessage

Clean = Callable[[str], str]
_LONGEST_NAME = 100


def plain_name(text: str) -> str:
    """Return ``text`` as a file's name without folders: letters, digits, ``_``, ``-``, inner dots; others become -."""
    return re.sub(r"[^\w.-]", "-", text).lstrip(".-")[:_LONGEST_NAME]


def check_updates(gui: viser.GuiApi, texts: Mapping[str, Clean] | None = None) -> None:
    """Ignore updates that the elements of ``gui`` cannot send: of a property, or of an option that a list lacks.

    Args:
        gui: the elements of all pages, or those of one page (its dialogs).
        texts: by label, what the text of a text field is replaced by when the user changes it.
    """
    texts = texts or {}

    def apply(client_id: Any, message: GuiUpdateMessage) -> None:
        handle: Any = gui._gui_input_handle_from_id.get(message.id)
        if handle is None or set(message.updates) != {"value"}:
            return
        value = message.updates["value"]
        if isinstance(handle, viser.GuiDropdownHandle) and value not in handle.options:
            return
        clean = texts.get(handle._impl.label)
        if clean is None:
            gui._handle_gui_updates(client_id, message)
            return
        name = clean(str(value))
        gui._handle_gui_updates(client_id, replace(message, updates={"value": name}))
        if name != value:
            handle.value = name  # the page shows what its user has typed

    handlers: Any = gui._websock_interface._incoming_handlers[GuiUpdateMessage]
    handlers[handlers.index(gui._handle_gui_updates)] = apply
