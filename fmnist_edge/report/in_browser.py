"""The table of runs in a browser: what a page loads, the time to its first answer, the p50, and ours in multiples."""

from __future__ import annotations

from dataclasses import dataclass

from fmnist_edge.benchmark.browser_table import MEASURED, Measured, texts
from fmnist_edge.report.runs import Row, Run
from fmnist_edge.report.tables import ENGINE, FILE, MODEL, Column, Table, table_of
from fmnist_edge.runtime.engine_catalog import BROWSER

__all__ = ["browser_table"]


@dataclass(frozen=True)
class Line:
    """A row, and its texts in the columns MEASURED."""

    row: Row
    texts: list[str]


def of_row(column: Column) -> Column:
    return Column(column.heading, lambda line: column.value(line.row), column.write)


def of_text(place: int) -> Column:
    return Column(MEASURED[place], lambda line: line.texts[place])


COLUMNS = (*map(of_row, (MODEL, FILE, ENGINE)), *map(of_text, range(len(MEASURED))))


def browser_table(run: Run) -> Table:
    """A row per cell in a browser, our web form of a model before its peers; empty for other runs."""
    rows = [row for row in run.rows if row.target == BROWSER and row.loaded_bytes is not None]
    found = texts([measured(row) for row in rows])
    return table_of("In the browser", COLUMNS, [Line(rows[place], line) for place, line in found])


def measured(row: Row) -> Measured:
    return Measured(
        (row.group,),
        row.engine,
        row.loaded_bytes or 0,
        row.first_answer_us or 0,
        row.p50_us,
        row.end_to_end_us,
        row.rounds,
    )
