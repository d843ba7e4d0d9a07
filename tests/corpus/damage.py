"""What a damage is, and damages of bytes that fit a file of any kind."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np

Verdict = Literal["refuse", "right", "same", "any"]
"""refuse = must raise an error that names the file; right = that, or the values of
the whole file; same = must give the values of the whole file; any = either an
error that names the file, or finite values."""
Kind = Literal["json", "npz", "pickle", "torch", "picture", "mask", "csv", "jsonl", "yaml", "ply", "film", "npy"]
CANARY = "SAGE_CORPUS_CANARY"
"""Environment variable with the file that payloads create."""


class Payload:
    """Creates the canary when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {os.environ[CANARY]}",)


@dataclass(frozen=True)
class Spot:
    """The file that is damaged, and the place in it."""

    path: Path
    target: str
    """name of an array or field; "" for damages of the whole file"""
    random: Random


@dataclass(frozen=True)
class Damage:
    """One way to spoil a file."""

    name: str
    verdict: Verdict
    apply: Callable[[Spot], None]
    targets: Callable[[Path], Iterable[str]] | None = None
    """names of the places in a whole file that it can hit; None: the whole file"""
    random: bool = False
    """whether another seed gives another damage"""


def rewritten(spot: Spot, content: bytes) -> None:
    """Replaces a file; hard links to it keep the old content."""
    spot.path.unlink()
    spot.path.write_bytes(content)


def _of_bytes(name: str, verdict: Verdict, change: Callable[[bytes, Random], bytes], random: bool = False) -> Damage:
    def apply(spot: Spot) -> None:
        rewritten(spot, change(spot.path.read_bytes(), spot.random))

    return Damage(name, verdict, apply, random=random)


def _replaced(name: str, make: Callable[[Path], Any]) -> Damage:
    def apply(spot: Spot) -> None:
        spot.path.unlink()
        make(spot.path)

    return Damage(name, "refuse", apply)


def _flipped(count: int) -> Callable[[bytes, Random], bytes]:
    def change(content: bytes, random: Random) -> bytes:
        changed = bytearray(content)
        for _ in range(count):
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
        return bytes(changed)

    return change


def _hole(content: bytes, random: Random) -> bytes:
    """A block of zeros, as a file system leaves it after a crash."""
    start = random.randrange(len(content))
    length = min(max(len(content) // 8, 1), 4096, len(content) - start)
    return content[:start] + bytes(length) + content[start + length :]


def _without_a_part(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content))
    return content[:start] + content[start + max(len(content) // 10, 1) :]


def _without_end(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(max(len(content) * 9 // 10, 1))]


def _foreign() -> Mapping[str, bytes]:
    """Files of other kinds, by name; none is a valid input of any reader."""
    from io import BytesIO

    from PIL import Image

    png, npz = BytesIO(), BytesIO()
    Image.new("RGB", (3, 5)).save(png, "PNG")
    np.savez(npz, unrelated=np.arange(4))
    return {
        "a picture": png.getvalue(),
        "an npz of something else": npz.getvalue(),
        "a JSON list": b"[1, 2, 3]",
        "a JSON object": b'{"unrelated": 1}',
        "prose": b"These are notes, not data.\n" * 20,
        "a page of a login": b"<!DOCTYPE html><html><body>Please log in</body></html>\n",
        "a pointer of git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "a pickle of nothing": pickle.dumps(None),
        "a program": b'#!/bin/sh\ntouch "$SAGE_CORPUS_CANARY"\n',
    }


def _socket(path: Path) -> None:
    import socket

    here = os.getcwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def byte_damages() -> list[Damage]:
    """Damages for files of every kind."""
    cuts = {"to a tenth": 0.1, "to a half": 0.5, "to nine tenths": 0.9}
    return [
        _of_bytes("emptied", "refuse", lambda *_: b""),
        _of_bytes("cut to a byte", "refuse", lambda content, _: content[:1]),
        *(
            _of_bytes(f"cut {name}", "right", lambda content, _, s=share: content[: int(s * len(content))])
            for name, share in cuts.items()
        ),
        _of_bytes("cut anywhere", "right", _without_end, random=True),
        _of_bytes("last byte lost", "any", lambda content, _: content[:-1]),
        _of_bytes("first byte lost", "any", lambda content, _: content[1:]),
        _of_bytes("a part lost", "any", _without_a_part, random=True),
        _of_bytes("a bit flipped", "any", _flipped(1), random=True),
        _of_bytes("twenty bits flipped", "any", _flipped(20), random=True),
        _of_bytes("a hole of zeros", "any", _hole, random=True),
        _of_bytes("all zeros", "refuse", lambda content, _: bytes(len(content))),
        _of_bytes("noise", "refuse", lambda content, random: random.randbytes(len(content)), random=True),
        _of_bytes("garbage behind it", "any", lambda content, random: content + random.randbytes(200)),
        _of_bytes("twice", "any", lambda content, _: content + content),
        *(
            _of_bytes(f"in its place: {name}", "refuse", lambda *_, c=content: c)
            for name, content in _foreign().items()
        ),
        _of_bytes("a pickled payload", "refuse", lambda *_: pickle.dumps(Payload())),
        _replaced("missing", lambda path: None),
        _replaced("a folder", lambda path: path.mkdir()),
        _replaced("a FIFO", os.mkfifo),
        _replaced("a dangling link", lambda path: path.symlink_to("gone")),
        _replaced("a link to itself", lambda path: path.symlink_to(path.name)),
        _replaced("a link to a device", lambda path: path.symlink_to("/dev/zero")),
        _replaced("a socket", _socket),
        _replaced("a terabyte of nothing", _terabyte),
    ]


def _terabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)  # takes no space on the disk
