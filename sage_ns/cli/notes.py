"""Print notes of commands for the user."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from sage_ns.system.console import escape


def print_notes(console: Console, notes: Iterable[str]) -> None:
    """Print one note per line."""
    for note in notes:
        console.print(f"[yellow]{escape(note)}[/yellow]", soft_wrap=True)
