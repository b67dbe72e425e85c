"""Fields that the structures of many kernels have: sizes, and the steps from row to row and column to column."""

from __future__ import annotations

from fmnist_edge.exporters.c.graph import Value
from fmnist_edge.exporters.c.memory import View

__all__ = ["flat", "size_of", "steps_of"]


def steps_of(prefix: str, view: View) -> dict[str, int]:
    return {f"{prefix}_row_step": view.row_step, f"{prefix}_column_step": view.column_step}


def size_of(value: Value) -> dict[str, int]:
    return {"rows": value.rows, "columns": value.columns, "channels": value.channels}


def flat(size: dict[str, int], steps: dict[str, int]) -> dict[str, int]:
    """The same move in fewer, longer rows, where pixels follow one another without gaps."""
    prefixes = [name.removesuffix("_row_step") for name in steps if name.endswith("_row_step")]
    rows, columns, channels = size["rows"], size["columns"], size["channels"]
    if all(steps[f"{name}_column_step"] == channels for name in prefixes):
        channels, columns = channels * columns, 1
        if all(steps[f"{name}_row_step"] == channels for name in prefixes):
            channels, rows = channels * rows, 1
    return {"rows": rows, "columns": columns, "channels": channels, **steps}
