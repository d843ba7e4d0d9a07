"""JSON of users: marks and encodings are read, damage and bombs are refused with the file's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sage_ns.errors import SageError
from sage_ns.system import json_files
from sage_ns.system.json_files import finite_number, load_json, shown, whole_number

CONTENT = {"name": "Zoë", "ids": [1, 2**53 + 1, 2**80], "size": 434.00000000000006}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_encoding_of_json_is_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(CONTENT, ensure_ascii=False), encoding=encoding)
    assert load_json(path, SageError) == CONTENT


BROKEN = {
    "empty": (b"", r"is not valid JSON.*line 1, column 1"),
    "cut": (b'{"a": [1,\n 2', r"is not valid JSON.*line 2, column 3"),
    "binary": (bytes(range(128, 256)), "is not a text file"),
    "nested lists": (b"[" * 10_000 + b"]" * 10_000, "nested hundreds of levels deep"),
    "nested objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested hundreds of levels deep"),
    "unclosed lists": (b"[" * 100_000, "nested hundreds of levels deep"),
    "digits": (b'{"a": 1' + b"0" * 5000 + b"}", "number of thousands of digits"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_json_is_refused_by_name(name: str, tmp_path: Path) -> None:
    content, message = BROKEN[name]
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(SageError, match=rf"a\.json:? .*{message}"):
        load_json(path, SageError)


def test_large_files_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(SageError, match=r"a\.json has 1 TiB; expected at most 128 MiB"):
        load_json(path, SageError)


def test_files_of_many_small_values_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "MAX_JSON_VALUES", 1000)
    path = tmp_path / "a.json"
    path.write_text(json.dumps([[]] * 400))
    assert len(load_json(path, SageError)) == 400
    path.write_text(json.dumps([[]] * 600))
    with pytest.raises(SageError, match=r"a\.json: holds about 1200 values.*at most 1000"):
        load_json(path, SageError)


@pytest.mark.parametrize(
    ("value", "finite", "whole"),
    [
        (3, 3, 3),
        (2**53 + 1, 2**53 + 1, 2**53 + 1),
        (-2.0, -2.0, -2),
        (69.00000000000001, 69.00000000000001, 69),
        (68.9999995, 68.9999995, 69),
        (0.5, 0.5, None),
        (69.001, 69.001, None),
        (10**400, None, None),
        (float("nan"), None, None),
        (float("inf"), None, None),
        (True, None, None),
        ("3", None, None),
        (None, None, None),
        ([1], None, None),
    ],
)
def test_numbers(value: Any, finite: float | None, whole: int | None) -> None:
    assert finite_number(value) == finite
    assert whole_number(value) == whole
    assert type(whole_number(value)) in (int, type(None))


def test_long_values_are_cut_in_messages() -> None:
    assert shown("a") == "'a'"
    assert shown("a" * 100, 40) == f"'{'a' * 39}... (102 characters)"
    assert shown(10**5000) == "a int"
