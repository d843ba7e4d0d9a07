"""Registries: names are unique, unknown names are refused with the known ones, modules register by being imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sage_ns.errors import CaptureError, SageError
from sage_ns.system.registry import Registry, import_modules


class Thing:
    name = "thing"


class Other:
    name = "other"


def registry() -> Registry:
    things: Registry = Registry("kind of thing", CaptureError)
    things.register(Thing)
    things.register(Other)
    return things


def test_entries_come_by_name_and_in_the_order_of_names() -> None:
    things = registry()
    assert [entry.name for entry in things.entries()] == ["other", "thing"]
    assert isinstance(things["thing"], Thing)


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(CaptureError, match="kind of thing 'third': choose one of other, thing"):
        registry()["third"]


def test_a_name_is_taken_once_but_the_same_class_replaces_itself() -> None:
    things = registry()
    rival = type("Rival", (), {"name": "thing"})
    with pytest.raises(SageError, match=r"name 'thing' is taken by .*Thing"):
        things.register(rival)
    before = things["thing"]
    assert things.register(Thing) is Thing and things["thing"] is not before


def test_all_modules_of_a_package_are_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "formats_for_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("")
    (package / "two.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    import_modules("formats_for_a_test", [str(package)])
    assert {"formats_for_a_test.one", "formats_for_a_test.two"} <= set(sys.modules)
