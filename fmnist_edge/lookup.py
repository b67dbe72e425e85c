"""Look up records by name, and import code by name when it is needed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any, Protocol, TypeVar

from fmnist_edge.errors import UnknownNameError

__all__ = ["Catalog", "load"]


class Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Catalog(Mapping[str, T]):
    """Records by name, in the given order.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Board:
    ...     name: str
    >>> boards = Catalog("board", [Board("pi4"), Board("pi5")])
    >>> list(boards), boards["pi4"].name, "pi3" in boards
    (['pi4', 'pi5'], 'pi4', False)
    >>> boards["pi44"]
    Traceback (most recent call last):
        ...
    fmnist_edge.errors.UnknownNameError: unknown board 'pi44'; choose from: pi4, pi5. Did you mean 'pi4'?
    """

    def __init__(self, kind: str, records: Iterable[T]) -> None:
        """`kind`: what a record is, such as "board"; used in error messages."""
        self.kind = kind
        self._records = {record.name: record for record in records}

    def __getitem__(self, name: str) -> T:
        """Raises UnknownNameError, which lists the choices, for a name that no record has."""
        if name not in self._records:
            raise UnknownNameError(self.unknown(name))
        return self._records[name]

    def unknown(self, name: str) -> str:
        """The message for an unknown name: the choices, and the closest one."""
        close = difflib.get_close_matches(name, self._records, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"unknown {self.kind} {name!r}; choose from: {', '.join(self._records)}.{hint}"

    def __contains__(self, name: object) -> bool:
        return name in self._records

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


def load(target: str) -> Any:
    """Import a module and return its attribute, given as "module:attribute".

    >>> load("fmnist_edge.errors:one_line").__name__
    'one_line'
    """
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
