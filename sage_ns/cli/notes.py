"""How commands print what a user should know about what was read or made."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from sage_ns.system.console import escape


def print_notes(console: Console, notes: Iterable[str]) -> None:
    """One note a line."""
    for note in notes:
        console.print(f"[yellow]{escape(note)}[/yellow]", soft_wrap=True)
