"""Registries: things of one kind by name, each in a module of its own that registers it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import ClassVar, Generic, Protocol, TypeVar

from sage_ns.errors import SageError


class Named(Protocol):
    """What a registry needs of its entries."""

    name: ClassVar[str]


Entry = TypeVar("Entry", bound=Named)
Class = TypeVar("Class", bound=type)


class Registry(Generic[Entry]):
    """Instances of classes that were registered, by their names.

    Args:
        kind: what an entry is, for messages: "motion reader".
        error: raised where a name is taken or unknown.
    """

    def __init__(self, kind: str, error: type[SageError] = SageError) -> None:
        self.kind = kind
        self.error = error
        self._entries: dict[str, Entry] = {}

    def register(self, entry: Class) -> Class:
        """Class decorator: add an instance of a class.

        Raises:
            SageError: Another class has the same name. (The same class again, as in a notebook, replaces itself.)
        """
        known = self._entries.get(entry.name)
        if known is not None and _place(type(known)) != _place(entry):
            raise self.error(
                f"{self.kind} {_place(entry)}: name '{entry.name}' is taken by {_place(type(known))}. Choose another "
                "name."
            )
        self._entries[entry.name] = entry()
        return entry

    def entries(self) -> list[Entry]:
        """Return all entries, in the order of their names."""
        return [self._entries[name] for name in sorted(self._entries)]

    def __getitem__(self, name: str) -> Entry:
        """Return the entry of a name.

        Raises:
            SageError: There is none; lists all names.
        """
        if name not in self._entries:
            raise self.error(f"{self.kind} '{name}': choose one of {', '.join(sorted(self._entries))}")
        return self._entries[name]


def import_modules(package: str, path: Iterable[str]) -> None:
    """Import every module of a package, so that each registers what it holds.

    Args:
        package: dotted name.
        path: the package's ``__path__``.
    """
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")


def _place(entry: type) -> str:
    return f"{entry.__module__}.{entry.__qualname__}"
