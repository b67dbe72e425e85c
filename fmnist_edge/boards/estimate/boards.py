"""The boards whose latency can be estimated: boards.json, which `calibration` writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fmnist_edge.errors import UnknownNameError

__all__ = ["ACROSS_RUNTIMES", "DATA", "Board", "board_named", "boards", "data"]

DATA = Path(__file__).with_name("boards.json")
# The constants are fitted on ncnn's figures alone. How far another runtime's lie from what they give could not be seen
# here, for want of single-thread figures published of one; this is what is known of such transfers.
ACROSS_RUNTIMES = 0.30


@dataclass(frozen=True)
class Board:
    """A board as it is estimated.

    Attributes:
        ghz: its clock in the published figures; part of the constant's meaning.
        constant: published time over simulated cycles' time.
        error: mean of the leave-one-out errors, as a share, within ncnn.
        bytes_per_cycle: the most weight bytes per simulated cycle of a network it was fitted on.
    """

    name: str
    title: str
    core: str
    ghz: float
    constant: float
    error: float
    bytes_per_cycle: float

    def milliseconds(self, cycles: float) -> float:
        """
        >>> Board("b", "B", "cortex-a72", 2.0, 1.5, 0.1, 0.2).milliseconds(4e6)
        3.0
        """
        return self.constant * cycles / (self.ghz * 1e6)


@cache
def data() -> dict[str, Any]:
    return json.loads(DATA.read_text(encoding="utf-8"))


def boards() -> dict[str, Board]:
    fields = ("title", "core", "ghz", "constant", "error", "bytes_per_cycle")
    return {name: Board(name, *(entry[field] for field in fields)) for name, entry in data()["boards"].items()}


def board_named(name: str) -> Board:
    """Raises UnknownNameError for a board that nothing was fitted on."""
    known = boards()
    if name not in known:
        raise UnknownNameError(f"unknown board {name!r}; choose from: {', '.join(known)}")
    return known[name]
