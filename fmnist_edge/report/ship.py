"""Which file the results say to ship, and why: for each model and device, by the newest run that measured it."""

from __future__ import annotations

from collections.abc import Sequence

from fmnist_edge.catalog.precisions import find_precision
from fmnist_edge.report.runs import Row, Run
from fmnist_edge.runtime.engine_catalog import CPU, shipped

__all__ = ["ship_lines"]


def ship_lines(runs: Sequence[Run]) -> list[str]:
    """A line for each model on each device: the fastest file whose answers passed `check`, or what is missing.

    It compares p50s on the CPU with one image a call, and says when the run is INVALID. `choose` has limits besides.
    """
    newest: dict[tuple[str, str], tuple[Run, list[Row]]] = {}
    for run in sorted(runs, key=lambda item: item.created):
        for model in dict.fromkeys(row.model for row in run.rows if row.model):
            rows = [row for row in run.rows if row.model == model and is_shipped(row)]
            if rows:
                newest[run.device, model] = run, rows
    return [line_for(device, model, rows) for (device, model), (_, rows) in newest.items()]


def is_shipped(row: Row) -> bool:
    """Whether a device may have this: no baseline, on an engine for devices, one image a call."""
    precision = find_precision(row.format, row.precision)
    baseline = precision is not None and precision.stock
    return not baseline and row.engine in shipped() and row.target == CPU and row.batch == 1


def line_for(device: str, model: str, rows: Sequence[Row]) -> str:
    passed = [row for row in rows if row.passed]
    if not passed:
        failed = any(row.passed is False for row in rows)
        why = "none of its files passed `fmnist-edge check`" if failed else "run `fmnist-edge check`, then bench"
        return f"{model} on {device}: no file to ship; {why}"
    best = min(passed, key=lambda row: (row.known_us, row.size_bytes or 0))
    files = len({row.artifact for row in passed})
    threads = f"{best.threads} thread{'s' * (best.threads > 1)}"
    size = "" if best.size_bytes is None else f", {best.size_bytes / 1000:,.0f} kB"
    accuracy = "" if best.accuracy is None else f", {best.accuracy:.2%} right"
    doubt = "" if best.valid else "; INVALID figures, measure again"
    reason = f"the fastest of {files} files that passed `check`" if files > 1 else "the only file that passed `check`"
    figures = f"{best.known_us:,.1f} µs{accuracy}{size}"
    return f"{model} on {device}: ship {best.artifact} with {best.engine}, {threads}: {figures}; {reason}{doubt}"
