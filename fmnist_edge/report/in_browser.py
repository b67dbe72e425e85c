"""The table of runs in a browser: what a page loads, the time to its first answer, the p50, and ours in multiples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fmnist_edge.benchmark.estimates import Estimate, ratio
from fmnist_edge.benchmark.validity import VALID, judge_ratio
from fmnist_edge.report.runs import Row, Run
from fmnist_edge.report.tables import (
    END_TO_END,
    ENGINE,
    FILE,
    FIRST_ANSWER,
    LOADED,
    MODEL,
    P50,
    Column,
    Table,
    table_of,
)  # fmt: skip
from fmnist_edge.runtime.engine_catalog import BROWSER, ENGINES

__all__ = ["browser_table"]


@dataclass(frozen=True)
class Pair:
    """A row, and the ratio of our web form's p50 to its own; None for the web form, and without one of this model."""

    row: Row
    ratio: Estimate | None

    @property
    def text(self) -> str | None:
        found = self.ratio
        return None if found is None else f"{found.value:.2f} [{found.lower:.2f}, {found.upper:.2f}]"

    @property
    def valid(self) -> str | None:
        return None if self.ratio is None else "yes" if judge_ratio(self.ratio)["status"] == VALID else "no"


def of_row(column: Column) -> Column:
    return Column(column.heading, lambda pair: column.value(pair.row), column.write)


COLUMNS = (
    *map(of_row, (MODEL, FILE, ENGINE, LOADED, FIRST_ANSWER, P50, END_TO_END)),
    Column("our p50 / this [95 %]", lambda pair: pair.text),
    Column("ratio valid", lambda pair: pair.valid),
)


def is_ours(row: Row) -> bool:
    return row.engine in ENGINES and ENGINES[row.engine].folders


def browser_table(run: Run) -> Table:
    """A row per cell in a browser, our web form of a model before its peers; empty for other runs."""
    rows = [row for row in run.rows if row.target == BROWSER and row.loaded_bytes is not None]
    ours = {row.group: row for row in rows if is_ours(row)}
    ordered = sorted(rows, key=lambda row: (row.group, not is_ours(row)))
    return table_of("In the browser", COLUMNS, pairs_of(ordered, ours))


def pairs_of(rows: Sequence[Row], ours: dict[str, Row]) -> list[Pair]:
    return [
        Pair(row, None if is_ours(row) or row.group not in ours else ratio(ours[row.group].rounds, row.rounds))
        for row in rows
    ]
