"""The table of a run in a browser: what a page loads, how long it waits for the first answer, and the latency."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from fmnist_edge.benchmark.estimates import calm_p50, p50s_of, ratio
from fmnist_edge.benchmark.results import Cell, Result
from fmnist_edge.benchmark.validity import VALID, judge_ratio
from fmnist_edge.runtime.engine_catalog import BROWSER, ENGINES

__all__ = ["HEADER", "first_answer_us", "notes", "rows"]

HEADER = [
    "artifact", "in the browser", "loaded kB", "first answer ms", "calm µs", "p50 µs", "end-to-end p50 µs",
    "our p50 / this [95 %]",
]  # fmt: skip
NONE = "–"


def measured(result: Result) -> list[Cell]:
    return [cell for cell in result["cells"] if cell["browser"] is not None and cell["summary"] is not None]


def is_ours(cell: Cell) -> bool:
    """Whether it is the web form, which needs no runtime of others."""
    return cell["target"] == BROWSER and ENGINES[cell["engine"]].folders


def rows(result: Result) -> list[list[str]]:
    """A row per measured cell, in HEADER's columns; our web form first, then the others by the model."""
    cells = measured(result)
    ours = {(cell["model"], cell["side"]): cell for cell in cells if is_ours(cell)}
    ordered = sorted(cells, key=lambda cell: (cell["model"] or "", cell["side"] or "", not is_ours(cell)))
    return [row(cell, ours.get((cell["model"], cell["side"]))) for cell in ordered]


def row(cell: Cell, ours: Cell | None) -> list[str]:
    browser, summary = cell["browser"] or {}, cell["summary"] or {}
    return [
        cell["artifact"],
        cell["engine"],
        f"{browser['bytes_loaded'] / 1000:,.0f}",
        f"{first_answer_us(cell) / 1000:,.0f}",
        f"{calm_p50(p50s_of(cell)):,.1f}",
        f"{summary['engine']['p50']:,.1f}",
        f"{summary['end_to_end']['p50']:,.1f}",
        NONE if ours is None or is_ours(cell) else ratio_text(ours, cell),
    ]


def first_answer_us(cell: Cell) -> float:
    """The median over the rounds, of a cell in a browser."""
    return statistics.median((part["first_answer_ns"] or 0) / 1000 for part in cell["rounds"])


def ratio_text(ours: Cell, other: Cell) -> str:
    """The ratio of the calm p50s, paired by rounds, and whether it is INVALID."""
    found = ratio(p50s_of(ours), p50s_of(other))
    if found is None:
        return NONE
    doubt = "" if judge_ratio(found)["status"] == VALID else " INVALID"
    return f"{found.value:.3f} [{found.lower:.3f}, {found.upper:.3f}]{doubt}"


def notes(result: Result) -> list[str]:
    """Which browser it was and how fine its clock is, and which cells have several calls in a sample."""
    cells = measured(result)
    browsers = {clock_text(cell["browser"] or {}) for cell in cells}
    return [*sorted(browsers), *batched(cells)]


def clock_text(browser: dict[str, object]) -> str:
    isolated = "" if browser["isolated"] else ", because the page was not isolated"
    return (
        f"note: {browser['name']} {browser['version']}, headless; its clock has steps of "
        f"{float(str(browser['clock_ns'])) / 1000:g} µs{isolated}"
    )


def batched(cells: Sequence[Cell]) -> list[str]:
    found = []
    for cell in cells:
        counts = {part["engine"]["calls_per_sample"] for part in cell["rounds"]}
        if max(counts) > 1:
            how_many = " to ".join(map(str, sorted({min(counts), max(counts)})))
            found.append(
                f"note: {cell['artifact']} on {cell['engine']}: a sample is the mean of {how_many} calls, because one "
                "is short for the clock; its p90 and p99 are of such means"
            )
    return found
