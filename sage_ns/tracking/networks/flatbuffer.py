"""Read FlatBuffers whose offsets may lie: every access is checked against the size of the file.

Format: flatbuffers.dev, "FlatBuffer Internals". A table begins with the signed distance back to its vtable; the vtable
holds its own size, the size of the table, and for each field the place in the table, 0 if the field is absent. Tables,
texts and vectors are referred to by unsigned distances forward; a vector begins with its length.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from sage_ns.errors import NetworkError


class Truncated(NetworkError):
    """An offset or a length points out of the file."""


@dataclass(frozen=True)
class Table:
    """A table in a FlatBuffer."""

    content: bytes
    place: int
    """Of the table's first byte."""

    def whole(self, field: int, kind: str = "i", default: int = 0) -> int:
        """Return a number.

        Args:
            field: index of the field in the schema.
            kind: of the number, as `struct` names it.
            default: where the field is absent.
        """
        place = self._field(field)
        return default if place is None else _number(self.content, place, kind)

    def table(self, field: int) -> Table | None:
        """Return a table, None where the field is absent."""
        place = self._field(field)
        return None if place is None else Table(self.content, _forward(self.content, place))

    def tables(self, field: int, most: int) -> list[Table]:
        """Return the tables of a vector of at most ``most``; an empty list where the field is absent.

        Raises:
            Truncated: the vector is longer, or reaches out of the file.
        """
        start, length = self._vector(field, 4)
        if length > most:
            raise Truncated(f"found a list of {length} entries, expected at most {most}")
        return [Table(self.content, _forward(self.content, start + 4 * index)) for index in range(length)]

    def numbers(self, field: int, kind: str) -> np.ndarray:
        """Return the numbers of a vector as numpy's type ``kind`` ("<i4"); none where the field is absent."""
        size = np.dtype(kind).itemsize
        start, length = self._vector(field, size)
        return np.frombuffer(self.content, kind, length, start) if length else np.zeros(0, kind)

    def raw(self, field: int) -> bytes:
        """Return the bytes of a vector or text."""
        start, length = self._vector(field, 1)
        return self.content[start : start + length]

    def _vector(self, field: int, size: int) -> tuple[int, int]:
        """Return place and length of a vector of entries of ``size`` bytes."""
        place = self._field(field)
        if place is None:
            return 0, 0
        start = _forward(self.content, place)
        length = _number(self.content, start, "I")
        if start + 4 + length * size > len(self.content):
            raise Truncated(f"a list at byte {start} claims {length} entries, which reach out of the file")
        return start + 4, length

    def _field(self, field: int) -> int | None:
        vtable = self.place - _number(self.content, self.place, "i")
        size = _number(self.content, vtable, "H")
        if 4 + 2 * field + 2 > size:
            return None
        offset = _number(self.content, vtable + 4 + 2 * field, "H")
        return self.place + offset if offset else None


def root(content: bytes) -> Table:
    """Return the table in which everything is found.

    Raises:
        Truncated: the file is too short.
    """
    return Table(content, _forward(content, 0))


def _forward(content: bytes, place: int) -> int:
    return place + _number(content, place, "I")


def _number(content: bytes, place: int, kind: str) -> int:
    size = struct.calcsize(f"<{kind}")
    if not 0 <= place <= len(content) - size:
        raise Truncated(f"byte {place} was referred to, but the file has {len(content)}")
    return struct.unpack_from(f"<{kind}", content, place)[0]
