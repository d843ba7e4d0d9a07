"""Build dataclasses from JSON that this program wrote, after a check of every field: users edit and copy such files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from sage_ns.errors import SageError
from sage_ns.system.json_files import finite_number, load_json, shown

Built = TypeVar("Built")


def load_typed(kind: type[Built], path: Path, error: type[SageError], hint: str = "", /, **given: Any) -> Built:
    """Return the dataclass that a JSON file describes; fields with defaults may be absent.

    Args:
        kind: a dataclass whose fields are numbers, texts, paths, options of these, tuples of one type, mappings from
            texts, and dataclasses.
        path: the file.
        error: class of the error to raise.
        hint: what the user should do; ends the message.
        given: fields that the file does not have, by name.

    Raises:
        SageError: of the given class; the file cannot be read, or a field is missing, unknown or of another type.
            Names the file and the field.
    """
    return typed(kind, load_json(path, error, hint), str(path), error, hint, **given)


def typed(
    kind: type[Built], content: Any, source: str, error: type[SageError], hint: str = "", /, **given: Any
) -> Built:
    """Return the dataclass that content from JSON describes; arguments and errors as for `load_typed`.

    Args:
        kind: the dataclass.
        content: what was read.
        source: where it is from, for messages.
        error: class of the error to raise.
        hint: what the user should do; ends the message.
        given: fields that the content does not have, by name.
    """
    try:
        return _dataclass(kind, content, "", given)
    except _Misfit as misfit:
        raise error(f"{source}: {misfit}. {hint}".rstrip()) from None


def plain(value: Any) -> Any:
    """Return a dataclass, a mapping or a sequence as JSON has it, with paths as strings."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


class _Misfit(Exception):
    """A value has another type than its field."""

    def __init__(self, place: str, found: object, expected: str) -> None:
        where = f"'{place.removeprefix('.')}': " if place else ""
        super().__init__(f"{where}found {'nothing' if found is MISSING else shown(found)}, expected {expected}")


def _built(hint: Any, value: Any, place: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        inner = [each for each in arguments if each is not NoneType]
        return None if value is None and NoneType in arguments else _built(inner[0], value, place)
    if origin is Literal:
        return _if(value in arguments, value, place, " or ".join(map(repr, arguments)))
    if origin is tuple:
        _if(isinstance(value, (list, tuple)), value, place, "a list")
        return tuple(_built(arguments[0], each, f"{place}.{index}") for index, each in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        _if(isinstance(value, dict), value, place, "an object")
        return {key: _built(arguments[1], each, f"{place}.{key}") for key, each in value.items()}
    if is_dataclass(hint):
        return _dataclass(hint, value, place, {})
    return _plain(hint, value, place)


def _dataclass(kind: Any, value: Any, place: str, given: Mapping[str, Any]) -> Any:
    known = {each.name: each for each in fields(kind) if each.name not in given}
    expected = f"an object with the fields {', '.join(known)}"
    _if(isinstance(value, dict), value, place, expected)
    hints = get_type_hints(kind)
    for name in value:
        _if(name in known, value[name], f"{place}.{name}", "no such field")
    required = [name for name, each in known.items() if each.default is MISSING and each.default_factory is MISSING]
    for name in required:
        _if(name in value, MISSING, f"{place}.{name}", "a value")
    return kind(**given, **{name: _built(hints[name], each, f"{place}.{name}") for name, each in value.items()})


def _plain(kind: Any, value: Any, place: str) -> Any:
    if kind is float:
        return float(_if(finite_number(value) is not None, value, place, "a finite number"))
    if kind is int:
        return _if(isinstance(value, int) and not isinstance(value, bool), value, place, "a whole number")
    if kind is Path:
        return Path(_if(isinstance(value, str) and "\0" not in value, value, place, "a path"))
    return _if(isinstance(value, kind), value, place, {str: "a text", bool: "true or false"}.get(kind, str(kind)))


def _if(fits: bool, value: Any, place: str, expected: str) -> Any:
    if not fits:
        raise _Misfit(place, value, expected)
    return value
