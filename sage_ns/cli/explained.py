"""End commands with the message of an error, without a stack trace."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from sage_ns.errors import OptionError, SageError
from sage_ns.system.console import escape


@contextmanager
def explained(console: Console) -> Iterator[None]:
    """Run a command; print a :class:`SageError` and end the program with exit code 1.

    The message of an :class:`OptionError` names the flags of the command.
    """
    # Deprecations inside nerfstudio; users cannot change them.
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        yield
    except SageError as error:
        message = error.as_flags() if isinstance(error, OptionError) else str(error)
        console.print(f"[red]{type(error).__name__}:[/red] {escape(message)}", soft_wrap=True)
        sys.exit(1)
