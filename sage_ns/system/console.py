"""Where messages for the user go."""

from __future__ import annotations

import sys
from functools import cache

from rich.console import Console


def console() -> Console:
    """nerfstudio's console where nerfstudio is loaded, since its progress bars are drawn there; else our own."""
    rich_utils = sys.modules.get("nerfstudio.utils.rich_utils")
    return _own() if rich_utils is None else rich_utils.CONSOLE


@cache
def _own() -> Console:
    return Console()
