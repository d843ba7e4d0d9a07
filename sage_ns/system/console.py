"""The console that messages and progress bars are printed on."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

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


@cache
def _own() -> Console:
    from rich.console import Console

    return Console(width=_WIDTH)
