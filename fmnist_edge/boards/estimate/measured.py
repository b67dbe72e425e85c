"""A user's own measurements on a real board against the estimates, and the constant that they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from fmnist_edge.bench.results import Result
from fmnist_edge.boards.estimate.estimates import Estimate
from fmnist_edge.boards.estimate.fitting import constant, leave_one_out, mean_error
from fmnist_edge.catalog.boards import Board
from fmnist_edge.errors import InputError

__all__ = ["Comparison", "compare", "refit"]

ARM = ("aarch64", "arm64")
MIN_CELLS = 3  # measured cells that an error can be told from


@dataclass(frozen=True)
class Comparison:
    """A measured cell beside its estimate. off: estimate over measurement, less 1."""

    artifact: str
    engine: str
    measured_ms: float
    valid: bool
    estimated_ms: float

    @property
    def off(self) -> float:
        return self.estimated_ms / self.measured_ms - 1


def compare(result: Result, estimates: Sequence[Estimate], board: Board) -> list[Comparison]:
    """Every measured cell of one image and one thread that has an estimate for `board`: p50 of the engine alone.

    Raises InputError for what was measured on another architecture or another core, and where there is no such cell.
    """
    architecture = result["machine"].get("architecture")
    if architecture not in ARM:
        raise InputError(f"these results are of {architecture!r}; expected a 64-bit Arm board's (aarch64)")
    core = str(result["machine"].get("cpu"))
    if core.startswith("ARM ") and core[4:].lower() != board.core:
        raise InputError(f"these results are of an {core}; {board.title} has a {board.core}")
    known = {(item.sha256, item.engine or ""): item for item in estimates if item.milliseconds is not None}
    found = []
    for cell in result["cells"]:
        item = known.get((cell["sha256"] or "", cell["engine"]))
        if item and cell["summary"] and (cell["threads"], cell["batch"]) == (1, 1):
            valid = cell["verdict"] is not None and cell["verdict"]["status"] == "VALID"
            p50 = cell["summary"]["engine"]["p50"] / 1000
            found.append(Comparison(name(cell), cell["engine"], p50, valid, item.milliseconds or 0))
    if not found:
        raise InputError(
            "no measured cell of one thread and one image is of these artifacts; name those that were measured, and "
            "measure with: fmnist-edge bench --threads 1"
        )
    return found


def name(cell: Any) -> str:
    return "/".join(PurePath(cell["artifact"]).parts[-2:])


def refit(board: Board, compared: Sequence[Comparison]) -> tuple[Board, float | None]:
    """The board with the constant that these measurements give, and its mean leave-one-out error, None for too few.

    Of the valid ones, where there are some.
    """
    trusted = [item for item in compared if item.valid] or compared
    pairs = [(item.estimated_ms, item.measured_ms) for item in trusted]
    own = replace(board, constant=board.constant * constant(pairs))
    return own, mean_error(leave_one_out(pairs)) if len(pairs) >= MIN_CELLS else None
