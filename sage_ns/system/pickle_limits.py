"""What a pickle may cost: opcodes are counted before it is loaded, bytes while it is."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator

from sage_ns.system.user_files import in_bytes

MAX_PICKLE_BYTES = 2**29
"""Largest pickle that is read. FLAME's are about 50 MiB."""
MAX_CONTENT_BYTES = 2**30
"""Most memory that a pickle's content may take, with shared parts counted as often as they are referred to."""
MAX_OPCODES = 1_000_000
"""Most instructions of a pickle; head models have some hundreds."""
MAX_TUPLES = 10_000
"""Most tuples. Python computes the hash of nested tuples with one frame of the C stack for each level, without a limit
of its own."""
MAX_DEPTH = 100
"""Deepest nesting of dicts, lists and records."""

_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_NEVER = {"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER"}
"""Instructions that refer to things outside of the file."""
_PAIRS = {"GLOBAL", "INST"}
"""Instructions with two lines as their argument."""
_PREFIXES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
"""Bytes of the length that precedes an argument, by pickletools' code for it."""
_OPCODES = {ord(each.code): (each.name, 0 if each.arg is None else each.arg.n) for each in pickletools.opcodes}


class Refused(Exception):
    """The pickle requests something that is not an array, or more than the limits allow."""


class Allowance:
    """Bytes that loading a pickle may still take."""

    def __init__(self) -> None:
        self.left = MAX_CONTENT_BYTES

    def take(self, size: int) -> None:
        """Count bytes before memory is taken for them.

        Raises:
            Refused: They are more than what is left.
        """
        self.left -= size
        if self.left < 0:
            raise Refused(
                f"its content takes more than {in_bytes(MAX_CONTENT_BYTES)}: it refers to its parts too often"
            )


def too_large() -> Refused:
    """Return the error about a pickle whose content exceeds `MAX_CONTENT_BYTES`."""
    return Refused(f"its content takes more than {in_bytes(MAX_CONTENT_BYTES)}: it refers to its parts too often")


def check_opcodes(pickled: bytes) -> None:
    """Refuse a pickle that would take more memory, time or stack than its size suggests, without running it.

    The unpickler reserves memory up to the largest index of its memo, and up to the length that a text claims, whatever
    the file's size.

    Raises:
        Refused: The pickle has too many instructions or tuples, an index that no instruction count explains, or refers
            to things outside of the file.
        ValueError: It is truncated or no pickle.
    """
    num_tuples = 0
    for position, (name, argument) in enumerate(_instructions(pickled)):
        if position >= MAX_OPCODES:
            raise Refused(f"it has more than {MAX_OPCODES} instructions; a head model has some hundreds")
        if name in _NEVER:
            raise Refused(f"refused its instruction {name}, which refers to something outside of the file")
        if name in _PUT and _index(argument, name) > MAX_OPCODES:
            raise Refused(f"refused its memo index {_index(argument, name)}, expected at most {MAX_OPCODES}")
        num_tuples += name in _TUPLES
        if num_tuples > MAX_TUPLES:
            raise Refused(f"it has more than {MAX_TUPLES} tuples; a head model has some hundreds")


def _instructions(pickled: bytes) -> Iterator[tuple[str, memoryview]]:
    """Yield the instructions of a pickle up to its end, with their arguments as they stand in the file.

    `pickletools.genops` also decodes the arguments, and fails at texts that Python 2 wrote.
    """
    view, position = memoryview(pickled), 0
    while True:
        if position >= len(pickled):
            raise ValueError("it ends without its last instruction")
        known = _OPCODES.get(pickled[position])
        if known is None:
            raise ValueError(f"unknown instruction {pickled[position]:#04x} at byte {position}")
        name, size = known
        start = position + 1
        position = start + _length(pickled, start, name, size)
        if position > len(pickled):
            raise ValueError(f"the argument of {name} ends after the end of the file")
        yield name, view[start:position]
        if name == "STOP":
            return


def _length(pickled: bytes, start: int, name: str, size: int) -> int:
    """Return the number of bytes of an instruction's argument, with its length prefix or line ends."""
    if size in _PREFIXES:
        prefix = _PREFIXES[size]
        return prefix + int.from_bytes(pickled[start : start + prefix], "little")
    if size != pickletools.UP_TO_NEWLINE:
        return size
    end = start
    for _ in range(2 if name in _PAIRS else 1):
        end = pickled.find(b"\n", end) + 1
        if end == 0:
            raise ValueError(f"the argument of {name} has no end")
    return end - start


def _index(argument: memoryview, name: str) -> int:
    return int(bytes(argument)) if name == "PUT" else int.from_bytes(argument, "little")
