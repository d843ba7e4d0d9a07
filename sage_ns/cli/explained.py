"""How commands end when something is wrong: with what it is, and without a stack trace."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from sage_ns.errors import SageError


@contextmanager
def explained(console: Console) -> Iterator[None]:
    """Run a command: a :class:`SageError` is printed and ends the program with exit code 1."""
    # Deprecations inside nerfstudio: not for a user to mend.
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        yield
    except SageError as error:
        console.print(f"[red]{type(error).__name__}:[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
