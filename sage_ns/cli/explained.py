"""End commands with the message of an error, without a stack trace."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from sage_ns.errors import INTERRUPTED, OptionError, explainable
from sage_ns.system.console import escape


@contextmanager
def explained(console: Console, interrupted: str = "Interrupted.") -> Iterator[None]:
    """Run a command; end the program with exit code 1 and the message of a :class:`SageError` or of a full disk.

    The message of an :class:`OptionError` names the flags of the command. Ctrl-C ends the program with exit code 130.

    Args:
        console: console for messages.
        interrupted: line that Ctrl-C prints.
    """
    # Deprecations inside nerfstudio; users cannot change them.
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        yield
    except KeyboardInterrupt:
        console.print(escape(interrupted), soft_wrap=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        known = explainable(error)
        if known is None:
            raise
        message = known.as_flags() if isinstance(known, OptionError) else str(known)
        console.print(f"[red]{type(known).__name__}:[/red] {escape(message)}", soft_wrap=True)
        sys.exit(1)
