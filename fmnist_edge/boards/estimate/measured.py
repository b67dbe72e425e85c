"""Compare estimates with a user's measurements on a real board, and refit the board's constant to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from fmnist_edge.benchmark.results import Cell, Result
from fmnist_edge.boards.estimate.estimates import Estimate
from fmnist_edge.boards.estimate.fitting import constant, leave_one_out, mean_error
from fmnist_edge.catalog.boards import Board
from fmnist_edge.errors import InputError

__all__ = ["Comparison", "compare", "refit"]

ARM = ("aarch64", "arm64")
MIN_CELLS = 3  # measured cells needed to estimate an error


@dataclass(frozen=True)
class Comparison:
    """A measured cell and its estimate. `off`: estimate / measurement - 1. `valid`: the measurement's verdict."""

    artifact: str
    engine: str
    measured_ms: float
    valid: bool
    estimated_ms: float

    @property
    def off(self) -> float:
        return self.estimated_ms / self.measured_ms - 1


def compare(result: Result, estimates: Sequence[Estimate], board: Board) -> list[Comparison]:
    """Compare every measured cell of one image and one thread that has an estimate for `board`.

    The measured latency is the p50 of the engine alone, in ms. Raises InputError when the results are from another
    architecture or core, and when there is no such cell.
    """
    architecture = result["machine"].get("architecture")
    if architecture not in ARM:
        raise InputError(f"these results are from {architecture!r}; expected a 64-bit Arm board (aarch64)")
    core = str(result["machine"].get("cpu"))
    if core.startswith("ARM ") and core[4:].lower() != board.core:
        raise InputError(f"these results are from an {core}; {board.title} has a {board.core}")
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


def name(cell: Cell) -> str:
    return "/".join(PurePath(cell["artifact"]).parts[-2:])


def refit(board: Board, compared: Sequence[Comparison]) -> tuple[Board, float | None]:
    """Fit the board's constant to these measurements; only to the valid ones if there are any.

    Returns the board with that constant, and the mean leave-one-out error; None for fewer than MIN_CELLS measurements.
    """
    trusted = [item for item in compared if item.valid] or compared
    pairs = [(item.estimated_ms, item.measured_ms) for item in trusted]
    own = replace(board, constant=board.constant * constant(pairs))
    return own, mean_error(leave_one_out(pairs)) if len(pairs) >= MIN_CELLS else None
