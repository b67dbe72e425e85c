"""The messages from a device over ssh: lines of JSON with a prefix, because login scripts may print lines, too."""

from __future__ import annotations

import json
import re
from typing import Any

from fmnist_edge.aliases import JsonObject

__all__ = ["PREFIX", "printable", "read", "say"]

PREFIX = "fmnist-edge:"
UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\U0010ffff]+")


def say(value: JsonObject) -> None:
    print(PREFIX, json.dumps(value), flush=True)


def read(line: str) -> JsonObject:
    """The value that `say` printed, with its text safe for a terminal; {} for any other line.

    >>> read('fmnist-edge: {"offset": 3}'), read("Welcome!")
    ({'offset': 3}, {})
    """
    if not line.startswith(PREFIX):
        return {}
    try:
        found = json.loads(line[len(PREFIX) :])
    except ValueError:
        return {}
    return cleaned(found) if isinstance(found, dict) else {}


def cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: cleaned(item) for key, item in value.items()}
    return printable(value) if isinstance(value, str) else value


def printable(text: str) -> str:
    """Text from an untrusted machine, without terminal control characters."""
    return UNPRINTABLE.sub(" ", text)
