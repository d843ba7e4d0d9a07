"""The console that messages and progress bars are printed on."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

from sage_ns.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH = 120
"""Characters, as in nerfstudio."""


def console() -> Console:
    """Return the console to print on: nerfstudio's if nerfstudio is loaded, else one that all callers share.

    Two consoles would draw their progress bars over each other. Call this when printing, not when importing a module.
    """
    shared = getattr(sys.modules.get("nerfstudio.utils.rich_utils"), "CONSOLE", None)
    return _own() if shared is None else shared


def escape(text: object) -> str:
    """Return a text from a user or a file as it may stand in a console message.

    Square brackets are no markup in it, and characters that steer a terminal are written as escape sequences.
    """
    from rich.markup import escape as without_markup

    return without_markup(printable(text))


@cache
def _own() -> Console:
    from rich.console import Console

    return Console(width=_WIDTH)
