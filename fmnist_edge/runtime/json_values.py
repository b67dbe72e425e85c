"""Check the types of values from a JSON file.

Each reader takes a value and its place, such as "model.name", and returns the value. When the value has another type,
it raises an ArtifactError whose message is one line without control characters.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from typing import TypeVar

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.contract import is_plain

__all__ = [
    "batch_size",
    "boolean",
    "damaged",
    "dict_of",
    "integer",
    "json_object",
    "list_of",
    "number",
    "optional",
    "printable",
    "scalar",
    "text",
]

T = TypeVar("T")

LONGEST = 80  # characters of a value in a message


def damaged(value: object, where: str, expected: str) -> ArtifactError:
    found = reprlib.repr(value)
    if len(found) > LONGEST:
        found = found[: LONGEST - 1] + "…"
    return ArtifactError(f"{where} is {found}; expected {expected}; the manifest is damaged, export the model again")


def text(value: object, where: str) -> str:
    """Any text. Do not print it: it may hold control characters."""
    if not isinstance(value, str):
        raise damaged(value, where, "a text")
    return value


def printable(value: object, where: str) -> str:
    """A text without control characters, safe to print."""
    if not isinstance(value, str) or not is_plain(value):
        raise damaged(value, where, "a text without control characters")
    return value


def scalar(value: object, where: str) -> str | bool | int:
    """A boolean, a whole number of at most 31 bits, or a text without control characters."""
    if isinstance(value, int):  # booleans too
        if abs(value) >= 1 << 31:
            raise damaged(value, where, "a smaller number")
        return value
    return printable(value, where)


def boolean(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise damaged(value, where, "true or false")
    return value


def integer(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise damaged(value, where, "a whole number")
    return value


def batch_size(value: object, where: str) -> int:
    """Images per call."""
    if type(value) is not int or value < 1:
        raise damaged(value, where, "a whole number of at least 1, or null")
    return value


def number(value: object, where: str) -> float:
    """A finite number. JSON integers that no float can hold are refused too."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise damaged(value, where, "a finite number")


def json_object(value: object, where: str) -> Mapping[str, object]:
    """An object with any content."""
    if not isinstance(value, dict):
        raise damaged(value, where, "an object")
    return value


def optional(read: Callable[[object, str], T]) -> Callable[[object, str], T | None]:
    """null, or a value that `read` accepts."""
    return lambda value, where: None if value is None else read(value, where)


def list_of(read: Callable[[object, str], T]) -> Callable[[object, str], tuple[T, ...]]:
    """A list of values that `read` accepts."""

    def read_all(value: object, where: str) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise damaged(value, where, "a list")
        return tuple(read(item, f"{where}[{index}]") for index, item in enumerate(value))

    return read_all


def dict_of(read: Callable[[object, str], T]) -> Callable[[object, str], dict[str, T]]:
    """An object of values that `read` accepts. Its names are safe to print."""

    def read_all(value: object, where: str) -> dict[str, T]:
        found = json_object(value, where)
        for name in found:
            printable(name, f"a name in {where}")
        return {name: read(item, f"{where}[{reprlib.repr(name)}]") for name, item in found.items()}

    return read_all
