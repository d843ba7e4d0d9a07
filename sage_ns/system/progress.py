"""Progress bars of long work, all with the same columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from sage_ns.system.console import console

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")


@contextmanager
def tracked(items: Sequence[Item], description: str) -> Iterator[Iterator[Item]]:
    """Show a progress bar while the block lasts; it counts the items that are taken from the iterator it yields.

    The block ends the bar, not the iterator: Python may collect an iterator that an error left unfinished in any
    thread, and a bar that ends in the thread that draws another bar waits for that thread, which is itself.
    """
    with _bar(transient=True) as progress:
        task = progress.add_task(description, total=len(items))
        yield _counted(items, lambda: progress.advance(task))


def _counted(items: Sequence[Item], count: Callable[[], None]) -> Iterator[Item]:
    for item in items:
        yield item
        count()


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar that stays and ends with the time taken; yields the function to call with (done, total)."""
    with _bar(transient=False) as progress:
        task = progress.add_task(description, total=None)

        def update(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield update


def _bar(transient: bool) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    return Progress(*columns, console=console(), transient=transient)
