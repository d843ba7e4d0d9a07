"""One console for all that is printed, whether nerfstudio is loaded or not."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from sage_ns.system.console import console
from sage_ns.system.progress import progress_bar, tracked


@pytest.fixture
def without_nerfstudio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "nerfstudio.utils.rich_utils", raising=False)


def test_nerfstudio_s_console_is_used_where_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = object()
    monkeypatch.setitem(sys.modules, "nerfstudio.utils.rich_utils", SimpleNamespace(CONSOLE=theirs))
    assert console() is theirs


@pytest.mark.usefixtures("without_nerfstudio")
def test_without_nerfstudio_all_share_one_console() -> None:
    assert console() is console() and console().width == 120
    assert "nerfstudio.utils.rich_utils" not in sys.modules


@pytest.mark.usefixtures("without_nerfstudio")
def test_the_console_changes_when_nerfstudio_is_loaded_later(monkeypatch: pytest.MonkeyPatch) -> None:
    own = console()
    monkeypatch.setitem(sys.modules, "nerfstudio.utils.rich_utils", SimpleNamespace(CONSOLE=object()))
    assert console() is not own


@pytest.mark.usefixtures("without_nerfstudio")
def test_tracked_items_come_in_order_and_leave_nothing_behind() -> None:
    with console().capture() as printed:
        assert list(tracked(["a", "b"], "working")) == ["a", "b"]
    assert "working" not in printed.get()


@pytest.mark.usefixtures("without_nerfstudio")
def test_a_bar_stays_and_says_how_much_was_done() -> None:
    with console().capture() as printed, progress_bar("filming") as update:
        update(1, 4)
        update(4, 4)
    assert "filming" in printed.get() and "4/4" in printed.get() and "0:00:00" in printed.get()
