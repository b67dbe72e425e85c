"""Values of a JSON file with the types that they must have.

A reader takes a value and where it stands, such as "model.name", and returns the value. It raises ArtifactError of one
line, without control characters, when the value has another type.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from typing import TypeVar

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.contract import is_plain

__all__ = ["damaged", "flag", "listed", "mapped", "number", "optional", "plain", "section", "text", "whole"]

T = TypeVar("T")

LONGEST = 80  # characters of a value in a message


def damaged(value: object, where: str, expected: str) -> ArtifactError:
    found = reprlib.repr(value)
    if len(found) > LONGEST:
        found = found[: LONGEST - 1] + "…"
    return ArtifactError(f"{where} is {found}; expected {expected}; the manifest is damaged, export the model again")


def text(value: object, where: str) -> str:
    """Any text. It may hold control characters: not to be printed."""
    if not isinstance(value, str):
        raise damaged(value, where, "a text")
    return value


def plain(value: object, where: str) -> str:
    """A text that may be printed."""
    if not isinstance(value, str) or not is_plain(value):
        raise damaged(value, where, "a text without control characters")
    return value


def flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise damaged(value, where, "true or false")
    return value


def whole(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise damaged(value, where, "a whole number")
    return value


def number(value: object, where: str) -> float:
    """Finite. JSON has whole numbers that no float can hold."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise damaged(value, where, "a finite number")


def section(value: object, where: str) -> Mapping[str, object]:
    """An object, whatever it holds."""
    if not isinstance(value, dict):
        raise damaged(value, where, "an object")
    return value


def optional(read: Callable[[object, str], T]) -> Callable[[object, str], T | None]:
    """null, or what `read` reads."""
    return lambda value, where: None if value is None else read(value, where)


def listed(read: Callable[[object, str], T]) -> Callable[[object, str], tuple[T, ...]]:
    """A list whose items `read` reads."""

    def read_all(value: object, where: str) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise damaged(value, where, "a list")
        return tuple(read(item, f"{where}[{index}]") for index, item in enumerate(value))

    return read_all


def mapped(read: Callable[[object, str], T]) -> Callable[[object, str], dict[str, T]]:
    """An object whose values `read` reads. Its names may be printed."""

    def read_all(value: object, where: str) -> dict[str, T]:
        found = section(value, where)
        for name in found:
            plain(name, f"a name in {where}")
        return {name: read(item, f"{where}[{reprlib.repr(name)}]") for name, item in found.items()}

    return read_all
