"""Present a result: table and verdict for people, an exit code for scripts."""

from __future__ import annotations

from fmnist_edge.bench import sides, tables
from fmnist_edge.bench.results import Result
from fmnist_edge.console import table
from fmnist_edge.errors import GateError, UnavailableError

__all__ = ["INTERRUPTED", "exit_code", "text"]

INTERRUPTED = 130


def text(result: Result) -> str:
    """The table, the lines about unmeasured cells, and the verdict."""
    rows = tables.rows(result)
    parts = [table(tables.HEADER, rows, right=["threads"]) + "\n"] if rows else []
    if found := sides.pairs(result):
        parts.append(table(sides.HEADER, sides.rows(found), right=["threads", "rounds"]) + "\n")
    return "\n".join([*parts, *tables.unmeasured(result), *tables.verdict_lines(result)])


def exit_code(result: Result) -> int:
    """130 after an interruption, 1 when a cell failed, 3 when nothing could be measured, otherwise 0.

    INVALID is no failure: the measurements stand, with the reasons against them.
    """
    if result["interrupted"]:
        return INTERRUPTED
    if tables.has_failures(result):
        return GateError.exit_code
    return 0 if any(cell["rounds"] for cell in result["cells"]) else UnavailableError.exit_code
