"""The console that messages and progress bars are printed on."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH = 120
"""Characters; nerfstudio's."""


def console() -> Console:
    """nerfstudio's console where nerfstudio is loaded, else one of our own; the same one for every caller.

    Two consoles would draw their progress bars over each other. Ask for it when printing, not when a module is loaded.
    """
    shared = getattr(sys.modules.get("nerfstudio.utils.rich_utils"), "CONSOLE", None)
    return _own() if shared is None else shared


@cache
def _own() -> Console:
    from rich.console import Console

    return Console(width=_WIDTH)
