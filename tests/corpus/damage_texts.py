"""Damages of line-based files: recordings (csv, JSON lines), configs (YAML) and splats (PLY)."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable
from random import Random

import numpy as np

from tests.corpus.damage import CANARY, Damage, Spot, Verdict, rewritten


def _of_text(name: str, verdict: Verdict, change: Callable[[str, Random], str], random: bool = False) -> Damage:
    def apply(spot: Spot) -> None:
        rewritten(spot, change(spot.path.read_text(encoding="utf-8"), spot.random).encode())

    return Damage(name, verdict, apply, random=random)


def _encoded(name: str, verdict: Verdict, encoding: str) -> Damage:
    return Damage(name, verdict, lambda spot: rewritten(spot, spot.path.read_text(encoding="utf-8").encode(encoding)))


def text_damages() -> list[Damage]:
    """Damages for recordings of scores in lines, as csv or as JSON lines."""
    cells = ("nan", "inf", "-inf", "1e308", "9" * 400, "x", "", "0,5", "\0", "٣", "57.3", "-7", "1e-320", "true")
    return [
        _encoded("byte order mark", "same", "utf-8-sig"),
        _encoded("UTF-16", "any", "utf-16"),
        _of_text("Windows line ends", "same", lambda text, _: text.replace("\n", "\r\n")),
        _of_text("old Macintosh line ends", "any", lambda text, _: text.replace("\n", "\r")),
        _of_text("empty lines", "same", lambda text, _: text.replace("\n", "\n\n")),
        _of_text("a line of a megabyte", "any", lambda text, _: text + "x" * 2**20 + "\n"),
        _of_text("a line of commas", "any", lambda text, _: text + "," * 100_000 + "\n"),
        _of_text("a line nested deep", "any", lambda text, _: text + "[" * 100_000 + "\n"),
        _of_text("a line of quotes", "any", lambda text, _: text + '"' * 10_001 + "\n"),
        _of_text("header twice", "any", lambda text, _: text.splitlines()[0] + "\n" + text),
        _of_text("only its first line", "any", lambda text, _: text.splitlines()[0] + "\n"),
        _of_text("a line cut", "any", _line_cut, random=True),
        _of_text("semicolons", "any", lambda text, _: text.replace(",", ";")),
        _of_text("lines in another order", "any", _shuffled, random=True),
        *(_of_text(f"a number is {cell[:10]!r}", "any", _number_is(cell), random=True) for cell in cells),
    ]


def _line_cut(text: str, random: Random) -> str:
    lines = text.splitlines()
    chosen = random.randrange(len(lines))
    lines[chosen] = lines[chosen][: random.randrange(len(lines[chosen]) + 1)]
    return "\n".join(lines) + "\n"


def _shuffled(text: str, random: Random) -> str:
    first, *rest = text.splitlines()
    random.shuffle(rest)
    return "\n".join([first, *rest]) + "\n"


def _number_is(cell: str) -> Callable[[str, Random], str]:
    def change(text: str, random: Random) -> str:
        import re

        numbers = list(re.finditer(r"(?<=[,: \[])-?\d+(\.\d+)?(?=[,}\]\n])", text))
        found = random.choice(numbers)
        return text[: found.start()] + cell + text[found.end() :]

    return change


_YAML_VALUES = (
    *("null", "[]", "{}", "x", "-1", "1e400", ".nan", ".inf", "true", "2001-01-01", "''", "1:30:00", "0o17"),
    *("!!binary aGVsbG8=", "!!set {a, b}", "!!python/tuple [1]", "!!python/name:os.system ''", "*missing"),
    *("!!python/object/apply:os.system [touch {canary}]", "!!python/object/new:os.system [touch {canary}]"),
    *("!!python/object/apply:builtins.eval [__import__('os').system('touch {canary}')]", "&a [*a]", "9" * 5000),
    *("!!python/object/apply:pathlib.PosixPath [/etc, passwd]", "!!python/object:sage_ns.plugin.model.SageModel {{}}"),
)


def yaml_damages() -> list[Damage]:
    """Damages for the config of a run."""
    laughs = "a: &a [1, 1]\n" + "".join(
        f"{c}: &{c} [*{p}, *{p}]\n"
        for p, c in zip("abcdefghijklmnopqrstuvwxy", "bcdefghijklmnopqrstuvwxyz", strict=True)
    )
    return [
        _encoded("byte order mark", "any", "utf-8-sig"),
        _encoded("UTF-16", "any", "utf-16"),
        _of_text("Windows line ends", "same", lambda text, _: text.replace("\n", "\r\n")),
        _of_text("tabs", "refuse", lambda text, _: text.replace("  ", "\t")),
        _of_text("nested deep", "refuse", lambda text, _: "[" * 10_000),
        _of_text("a deep field more", "refuse", lambda text, _: text + "deep: " + "[" * 5000 + "]" * 5000 + "\n"),
        _of_text("a billion laughs", "refuse", lambda text, _: laughs),
        _of_text("laughs behind it", "refuse", lambda text, _: text + laughs),
        _of_text("two documents", "refuse", lambda text, _: text + "---\n" + text),
        _of_text("a field more", "refuse", lambda text, _: text + "surplus: 1\n"),
        _of_text("a payload as a key", "refuse", lambda text, _: text + _payload("? {} : 1\n")),
        _of_text("a payload as the whole", "refuse", lambda text, _: _payload("{}\n")),
        _of_text("a line lost", "any", _line_lost, random=True),
        _of_text("a line twice", "any", _line_twice, random=True),
        *(_of_text(f"a value is {value[:30]}", "any", _value_is(value), random=True) for value in _YAML_VALUES),
    ]


def _payload(place: str) -> str:
    return place.format(f"!!python/object/apply:os.system [touch {os.environ[CANARY]}]")


def _line_lost(text: str, random: Random) -> str:
    lines = text.splitlines()
    del lines[random.randrange(len(lines))]
    return "\n".join(lines) + "\n"


def _line_twice(text: str, random: Random) -> str:
    lines = text.splitlines()
    chosen = random.randrange(len(lines))
    return "\n".join([*lines[: chosen + 1], *lines[chosen:]]) + "\n"


def _value_is(value: str) -> Callable[[str, Random], str]:
    def change(text: str, random: Random) -> str:
        lines = text.splitlines()
        chosen = random.choice(
            [i for i, line in enumerate(lines) if ": " in line and not line.strip().startswith("- ")]
        )
        lines[chosen] = lines[chosen].split(": ", 1)[0] + ": " + value.replace("{canary}", os.environ[CANARY])
        return "\n".join(lines) + "\n"

    return change


def ply_damages() -> list[Damage]:
    """Damages for binary PLY files of float properties."""
    return [
        _ply_header("claims 10^12 vertices", "refuse", rb"element vertex \d+", b"element vertex 1000000000000"),
        _ply_header("claims no vertices", "refuse", rb"element vertex \d+", b"element vertex 0"),
        _ply_header("claims -1 vertices", "refuse", rb"element vertex \d+", b"element vertex -1"),
        _ply_header("claims a vertex more", "refuse", rb"element vertex (\d+)", b"element vertex 1\\1"),
        _ply_header("is text", "refuse", rb"binary_little_endian", b"ascii"),
        _ply_header("is of the other byte order", "any", rb"binary_little_endian", b"binary_big_endian"),
        _ply_header("has faces", "refuse", rb"end_header", b"element face 1\nproperty list uchar int i\nend_header"),
        _ply_header("has doubles", "refuse", rb"property float", b"property double"),
        _ply_header("has an unknown type", "refuse", rb"property float x", b"property quad x"),
        _ply_header("has a property twice", "refuse", rb"property float y", b"property float x"),
        _ply_header("lacks a property", "refuse", rb"property float opacity\n", b""),
        _ply_header("names a property otherwise", "refuse", rb"property float binding_0", b"property float binding"),
        _ply_header("has no end", "refuse", rb"end_header", b"comment"),
        _ply_header("has comments of a megabyte", "any", rb"end_header", b"comment " + b"x" * 2**20 + b"\nend_header"),
        _ply_header("has Windows line ends", "any", rb"\n(?=element|property|format|end_header)", b"\r\n"),
        *(_ply_number(f"holds {value}", "refuse", value) for value in (math.nan, math.inf)),
        *(_ply_number(f"holds {value}", "any", value) for value in (1e30, -1.0, 0.5, 1e9)),
    ]  # fmt: skip


def _ply_header(name: str, verdict: Verdict, found: bytes, instead: bytes) -> Damage:
    def apply(spot: Spot) -> None:
        import re

        content = spot.path.read_bytes()
        end = content.index(b"end_header") + len(b"end_header")
        rewritten(spot, re.sub(found, instead, content[:end]) + content[end:])

    return Damage(f"header {name}", verdict, apply)


def _ply_number(name: str, verdict: Verdict, value: float) -> Damage:
    """One number of one property, but for normals, which no reader uses."""

    def names(path: object) -> list[str]:
        from pathlib import Path

        head = Path(str(path)).read_bytes().split(b"end_header")[0].decode()
        return [line.split()[2] for line in head.splitlines() if line.startswith("property") and " n" not in line]

    def apply(spot: Spot) -> None:
        content = spot.path.read_bytes()
        start = content.index(b"end_header\n") + len(b"end_header\n")
        lines = content[:start].decode().splitlines()
        properties = [line.split()[2] for line in lines if line.startswith("property")]
        table = np.frombuffer(content[start:], "<f4").reshape(-1, len(properties))
        row = spot.random.randrange(len(table))
        place = start + 4 * (row * len(properties) + properties.index(spot.target))
        rewritten(spot, content[:place] + struct.pack("<f", value) + content[place + 4 :])

    return Damage(f"number {name}", verdict, apply, names, random=True)
