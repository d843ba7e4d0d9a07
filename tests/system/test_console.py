"""One console for all that is printed, whether nerfstudio is loaded or not."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sage_ns.errors import CaptureError, OptionError, printable, show_as_panels
from sage_ns.system.console import console, escape
from sage_ns.system.progress import progress_bar, tracked
from sage_ns.system.user_files import check_regular


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
    with console().capture() as printed, tracked(["a", "b"], "working") as shown:
        assert list(shown) == ["a", "b"]
    assert "working" not in printed.get()


@pytest.mark.usefixtures("without_nerfstudio")
def test_a_bar_stays_and_says_how_much_was_done() -> None:
    with console().capture() as printed, progress_bar("filming") as update:
        update(1, 4)
        update(4, 4)
    assert "filming" in printed.get() and "4/4" in printed.get() and "0:00:00" in printed.get()


ESCAPES = "\x1b[2J\x1b]0;title\x07 \x9b31m \x00\x7f \u202etxt.exe \u2028 \udcff"


@pytest.mark.parametrize("text", ["plain", "two\nlines\tand a tab", "Zoë 頭 [red]", ""])
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_characters_that_steer_a_terminal_are_written_out() -> None:
    shown = printable(ESCAPES)
    assert shown.isprintable() and shown.encode()
    assert shown.startswith(r"\x1b[2J\x1b]0;title\x07 \x9b31m \x00\x7f \u202etxt.exe \u2028 \udcff")
    assert printable(shown) == shown, "an error may quote another one"


def test_a_megabyte_in_a_message_is_cut_in_its_middle() -> None:
    shown = str(CaptureError(f"a.json: 'w' is {'x' * 2**20}; expected pixels"))
    assert shown.startswith("a.json: 'w' is xxx") and shown.endswith("xxx; expected pixels")
    assert len(shown) < 3100 and "characters left out" in shown


def test_names_of_files_reach_no_terminal_raw(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    path = tmp_path / "a\x1b[31m[red]\udcff.json"
    with pytest.raises(CaptureError) as caught:
        check_regular(path, CaptureError)
    assert "\x1b" not in str(caught.value) and r"a\x1b[31m[red]\udcff.json: no such file" in str(caught.value)
    assert "\x1b" not in OptionError("wrong", path=path).as_flags()
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    show_as_panels()
    sys.excepthook(CaptureError, caught.value, None)
    printed = capsys.readouterr().err.replace("\n", "")
    assert "\x1b[31m" not in printed and r"\x1b[31m[red]" in printed.replace(" ", "").replace("│", "")


@pytest.mark.usefixtures("without_nerfstudio")
def test_console_messages_show_names_as_they_are() -> None:
    with console().capture() as printed:
        console().print(f"read {escape(Path('a[red]b') / chr(27))}")
    assert printed.get() == "read a[red]b/\\x1b\n"
