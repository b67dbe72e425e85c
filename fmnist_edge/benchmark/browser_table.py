"""The table of a run in a browser: what a page loads, how long it waits for the first answer, and the latency."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from fmnist_edge.benchmark.estimates import Rounds, calm_p50, p50s_of, ratio
from fmnist_edge.benchmark.results import Cell, Result
from fmnist_edge.benchmark.validity import VALID, judge_ratio
from fmnist_edge.runtime.engine_catalog import BROWSER, ENGINES

__all__ = ["HEADER", "MEASURED", "Measured", "first_answer_us", "notes", "rows", "texts"]

# What was measured of a cell, in the tables of `bench` and of the report.
MEASURED = ("loaded kB", "first answer ms", "calm µs", "p50 µs", "end-to-end p50 µs", "our p50 / this [95 %]")
HEADER = ["artifact", "in the browser", *MEASURED]
NONE = "–"


@dataclass(frozen=True)
class Measured:
    """What was measured of a cell in a browser.

    Attributes:
        group: cells of one group are compared: those of one model.
        rounds: the p50s of each window, see `estimates`.
    """

    group: tuple[str, ...]
    engine: str
    loaded_bytes: float
    first_answer_us: float
    p50_us: float
    end_to_end_us: float
    rounds: Rounds

    @classmethod
    def of(cls, cell: Cell) -> Measured:
        browser, summary = cell["browser"] or {}, cell["summary"] or {}
        return cls(
            (cell["model"] or "", cell["side"] or ""),
            cell["engine"],
            browser["bytes_loaded"],
            first_answer_us(cell),
            summary["engine"]["p50"],
            summary["end_to_end"]["p50"],
            p50s_of(cell),
        )

    @property
    def is_ours(self) -> bool:
        """Whether it is the web form, which needs no runtime of others."""
        return self.engine in ENGINES and ENGINES[self.engine].folders

    def texts(self, ours: Measured | None) -> list[str]:
        """Its texts in the columns MEASURED. `ours`: the web form of the same model, if there is one."""
        return [
            f"{self.loaded_bytes / 1000:,.0f}",
            f"{self.first_answer_us / 1000:,.0f}",
            f"{calm_p50(self.rounds) if self.rounds else self.p50_us:,.1f}",
            f"{self.p50_us:,.1f}",
            f"{self.end_to_end_us:,.1f}",
            NONE if ours is None or self.is_ours else ratio_text(ours.rounds, self.rounds),
        ]


def measured(result: Result) -> list[Cell]:
    return [
        cell
        for cell in result["cells"]
        if cell["target"] == BROWSER and cell["browser"] is not None and cell["summary"] is not None
    ]


def texts(cells: Sequence[Measured]) -> list[tuple[int, list[str]]]:
    """(place among `cells`, texts in the columns MEASURED), by groups, our web form first in each."""
    ours = {cell.group: cell for cell in cells if cell.is_ours}
    order = sorted(range(len(cells)), key=lambda place: (cells[place].group, not cells[place].is_ours))
    return [(place, cells[place].texts(ours.get(cells[place].group))) for place in order]


def rows(result: Result) -> list[list[str]]:
    """A row per measured cell, in HEADER's columns."""
    cells = measured(result)
    return [
        [cells[place]["artifact"], cells[place]["engine"], *found]
        for place, found in texts(list(map(Measured.of, cells)))
    ]


def first_answer_us(cell: Cell) -> float:
    """The median over the rounds, of a cell in a browser."""
    return statistics.median((part["first_answer_ns"] or 0) / 1000 for part in cell["rounds"])


def ratio_text(ours: Rounds, other: Rounds) -> str:
    """The ratio of the calm p50s, paired by rounds, and whether it is INVALID."""
    found = ratio(ours, other)
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
