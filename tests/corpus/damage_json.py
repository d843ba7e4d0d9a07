"""Damages of JSON files: encodings, nesting, and every field with every wrong value."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.corpus.damage import Damage, Spot, Verdict, rewritten

_WRONG: dict[str, Any] = {
    "null": None,
    "a text": "x",
    "an empty text": "",
    "a list": [],
    "lists in lists": [[[1]]],
    "an object": {},
    "true": True,
    "-1": -1,
    "0": 0,
    "1.5": 1.5,
    "1e30": 1e30,
    "1e-300": 1e-300,
    "10^40": 10**40,
    "NaN": math.nan,
    "infinity": math.inf,
    "a null character": "a\0b",
    "half a surrogate": "\ud800",
    "a text of a megabyte": "x" * 2**20,
    "a path of the system": "/etc/passwd",
    "a path upwards": "../" * 12 + "etc/passwd",
}


def json_damages() -> list[Damage]:
    """Damages for files of JSON objects."""
    return [
        *_encodings(),
        _of_text("Windows line ends", "same", lambda text: text.replace("\n", "\r\n")),
        _of_text("a comment behind it", "any", lambda text: text + "\n// end\n"),
        _of_text("a comma too many", "refuse", lambda text: text.rstrip()[:-1] + ",}"),
        _of_text("nested deep", "refuse", lambda text: "[" * 10_000 + "]" * 10_000),
        _of_text("objects nested deep", "refuse", lambda text: '{"a":' * 10_000 + "1" + "}" * 10_000),
        _of_text(
            "a deep field more", "refuse", lambda text: '{"deep": ' + "[" * 10_000 + "]" * 10_000 + "," + text[1:]
        ),
        _of_text("a number of 5000 digits more", "refuse", lambda text: '{"digits": ' + "9" * 5000 + "," + text[1:]),
        _of_text("millions of lists", "refuse", lambda text: "[" + "[]," * 11_000_000 + "[]]"),
        _of_text("a list around it", "refuse", lambda text: f"[{text}]"),
        _of_text("a text around it", "refuse", json.dumps),
        _of_field("missing field", lambda holder, key, _: holder.pop(key)),
        _of_field("field twice", _twice),
        _of_field("field under another name", lambda holder, key, _: holder.__setitem__(f"{key}_", holder.pop(key))),
        *(
            _of_field(f"field is {name}", lambda holder, key, _, v=value: holder.__setitem__(key, v))
            for name, value in _WRONG.items()
        ),
        _of_field("field is the text of its value", lambda holder, key, _: holder.__setitem__(key, str(holder[key]))),
        _of_field("field in a list", lambda holder, key, _: holder.__setitem__(key, [holder[key]])),
        _of_field("number in it is NaN", _spoilt_number(math.nan)),
        _of_field("number in it is 1e30", _spoilt_number(1e30)),
        _of_field("number in it is a text", _spoilt_number("7")),
        _of_field("entry of it lost", _lost_entry),
        *(_of_matrix(f"matrix {name}", change) for name, change in _MATRICES.items()),
    ]


_MATRICES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "scaled": lambda matrix: matrix * np.array([2.0, 2.0, 2.0, 1.0]),
    "sheared": lambda matrix: matrix + 0.1 * np.eye(4, k=1),
    "left-handed": lambda matrix: matrix * np.array([-1.0, 1.0, 1.0, 1.0]),
    "singular": lambda matrix: matrix * np.array([0.0, 1.0, 1.0, 1.0]),
    "transposed": lambda matrix: matrix.T,
    "with another last row": lambda matrix: matrix + np.array([[0.0], [0.0], [0.0], [0.5]]),
    "1e9 m away": lambda matrix: matrix + 1e9 * np.eye(4, k=3),
    "of zeros": lambda matrix: 0 * matrix,
    "of 2 rows": lambda matrix: matrix[:2],
    "of ones": lambda matrix: 0 * matrix + 1,
}


def _matrices_of(path: Path) -> Iterable[str]:
    return [name for name in fields_of(path) if name.rpartition(".")[2] in ("transform_matrix", "camera_to_world")]


def _of_matrix(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    def apply(spot: Spot) -> None:
        content = json.loads(spot.path.read_text(encoding="utf-8"))
        *_, key = names = spot.target.split(".")
        holder = spot.random.choice(holders(content, names))
        matrix = np.array(holder[key], dtype=np.float64)
        changed = change(matrix.reshape(4, 4))
        holder[key] = (changed if matrix.ndim == 2 else changed.reshape(-1)).tolist()
        rewritten(spot, json.dumps(content).encode())

    return Damage(name, "refuse", apply, _matrices_of, random=True)


def _encodings() -> Iterator[Damage]:
    yield _of_bytes_of_text("byte order mark", "same", "utf-8-sig")
    yield _of_bytes_of_text("UTF-16", "same", "utf-16")
    yield _of_bytes_of_text("UTF-16 without mark", "same", "utf-16-le")
    yield _of_bytes_of_text("UTF-32", "same", "utf-32")
    yield Damage("Latin-1", "any", lambda spot: rewritten(spot, _with_umlaut(spot).encode("latin-1")))


def _with_umlaut(spot: Spot) -> str:
    return '{"größe": 1,' + spot.path.read_text(encoding="utf-8")[1:]


def _of_bytes_of_text(name: str, verdict: Verdict, encoding: str) -> Damage:
    return Damage(name, verdict, lambda spot: rewritten(spot, spot.path.read_text(encoding="utf-8").encode(encoding)))


def _of_text(name: str, verdict: Verdict, change: Callable[[str], str]) -> Damage:
    return Damage(name, verdict, lambda spot: rewritten(spot, change(spot.path.read_text(encoding="utf-8")).encode()))


def fields_of(path: Path) -> Iterable[str]:
    """Names of fields in a file of JSON objects, each once, e.g. "frames" and "frames.w"."""
    found: dict[str, None] = {}
    _collect(json.loads(path.read_text(encoding="utf-8")), "", found)
    return list(found)


def _collect(value: Any, prefix: str, found: dict[str, None]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            found[f"{prefix}{key}"] = None
            _collect(inner, f"{prefix}{key}.", found)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, prefix, found)


def holders(value: Any, names: list[str]) -> list[dict[str, Any]]:
    """The objects in a JSON value that have the field with these nested names."""
    if isinstance(value, list):
        return [holder for inner in value for holder in holders(inner, names)]
    if not isinstance(value, dict) or names[0] not in value:
        return []
    return [value] if len(names) == 1 else holders(value[names[0]], names[1:])


def _of_field(name: str, change: Callable[[dict[str, Any], str, Random], Any]) -> Damage:
    def apply(spot: Spot) -> None:
        content = json.loads(spot.path.read_text(encoding="utf-8"))
        *_, key = names = spot.target.split(".")
        change(spot.random.choice(holders(content, names)), key, spot.random)
        rewritten(spot, json.dumps(content).replace('"\\u0000twice', '"').encode())

    return Damage(name, "any", apply, fields_of, random=True)


def _twice(holder: dict[str, Any], key: str, _: Random) -> None:
    """The field again, with another value: the mark goes when the file is written."""
    holder[f"\0twice{key}"] = None


def _spoilt_number(value: Any) -> Callable[[dict[str, Any], str, Random], None]:
    def change(holder: dict[str, Any], key: str, random: Random) -> None:
        inner = holder[key]
        while isinstance(inner, list) and inner and isinstance(inner[0], list):
            inner = random.choice(inner)
        if isinstance(inner, list) and inner and isinstance(inner[0], (int, float)):
            inner[random.randrange(len(inner))] = value
        elif isinstance(inner, (int, float)):
            holder[key] = value

    return change


def _lost_entry(holder: dict[str, Any], key: str, random: Random) -> None:
    inner = holder[key]
    if isinstance(inner, list) and inner:
        del inner[random.randrange(len(inner))]
    elif isinstance(inner, str) and inner:
        cut = random.randrange(len(inner))
        holder[key] = inner[:cut] + inner[cut + 1 :]
