"""Read JSON files that users give: byte order marks, limits of size and nesting, and numbers without loss."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from sage_ns.errors import SageError
from sage_ns.system.user_files import in_bytes, read_bytes

MAX_JSON_BYTES = 128 * 2**20
"""Largest JSON file that is read. A frame of a capture takes about 1 KiB."""
MAX_JSON_VALUES = 10_000_000
"""Most values (list entries, keys, lists, objects) in a file; with the file's text they take less than 2 GiB."""
WHOLE_TOLERANCE = 1e-6
"""Numbers this close to a whole one are meant to be whole: exporters compute sizes in floating point."""


def load_json(path: Path, error: type[SageError], hint: str = "") -> Any:
    """Return the content of a JSON file in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Args:
        path: The file.
        error: Class of the error to raise.
        hint: What the user should do if the file is missing or no text; ends those messages.

    Raises:
        SageError: Of the given class; the file is missing, no regular file, larger than `MAX_JSON_BYTES`, holds more
            than `MAX_JSON_VALUES` values, nests hundreds of levels deep, or is not JSON (with line and column).
    """
    text = _decoded(read_bytes(path, error, MAX_JSON_BYTES, hint), path, error, hint)
    num_values = sum(map(text.count, ",[{"))
    if num_values > MAX_JSON_VALUES:
        raise error(
            f"{path}: holds about {num_values} values in {in_bytes(len(text))}; expected at most {MAX_JSON_VALUES}."
        )
    try:
        return json.loads(text)
    except json.JSONDecodeError as cause:
        raise error(
            f"{path} is not valid JSON: {cause.msg} at line {cause.lineno}, column {cause.colno}. "
            "The file was probably cut off while it was written or copied; export or copy it again."
        ) from cause
    except RecursionError:
        raise error(f"{path}: lists and objects are nested hundreds of levels deep. Export the file again.") from None
    except ValueError as cause:  # an integer of more digits than Python converts
        raise error(f"{path}: holds a number of thousands of digits ({cause}). Export the file again.") from cause


def finite_number(value: object) -> float | int | None:
    """Return a JSON number as it is (integers stay exact); None if it is no number, or not a finite float64."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an integer of 10^309 or more
        return None


def whole_number(value: object) -> int | None:
    """Return a JSON number that is whole but for rounding (`WHOLE_TOLERANCE`) as an exact integer; None for others."""
    number = finite_number(value)
    if number is None or isinstance(number, int):
        return number
    nearest = round(number)
    return nearest if abs(number - nearest) <= WHOLE_TOLERANCE else None


def shown(value: object, longest: int = 60) -> str:
    """Return a value from a file for a message, cut to ``longest`` characters."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deep, or an integer of thousands of digits
        return f"a {type(value).__name__}"
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"


def _decoded(content: bytes, path: Path, error: type[SageError], hint: str) -> str:
    try:
        return content.decode(json.detect_encoding(content))
    except UnicodeDecodeError as cause:
        raise error(f"{path} cannot be read: it is not a text file ({cause.reason}). {hint}".rstrip()) from cause
