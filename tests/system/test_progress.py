"""Progress bars end with their block, whatever happens in it."""

import threading

import pytest

from sage_ns.system.console import console
from sage_ns.system.progress import progress_bar, tracked


def num_bars() -> int:
    return len(console()._live_stack)


def test_items_come_in_order_and_the_bar_ends() -> None:
    with tracked("abc", "Reading") as shown:
        assert num_bars() == 1
        assert list(shown) == ["a", "b", "c"]
    assert num_bars() == 0


def test_an_error_ends_the_bar_although_its_traceback_keeps_the_iterator() -> None:
    """Python's collector once ended such a bar inside the thread that drew the next one, which hung for ever."""
    with pytest.raises(ValueError, match="b is no number") as caught, tracked("abc", "Reading") as shown:
        for letter in shown:
            if letter == "b":
                raise ValueError("b is no number")
    assert caught.tb is not None
    assert num_bars() == 0
    assert all("Track" not in type(thread).__name__ for thread in threading.enumerate())
    with progress_bar("Next") as update:
        update(1, 2)
    assert num_bars() == 0
