"""Compare our export of the original with its stock export and its edge twin: same run, engine, threads and batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.catalog.precisions import find_precision
from fmnist_edge.report.runs import Row

__all__ = ["Trio", "by_precision", "fastest", "is_stock", "precision_of_ours"]


@dataclass(frozen=True)
class Trio:
    """Our export, the stock export and the twin to compare it with. One of those two may be None."""

    ours: Row
    stock: Row | None
    twin: Row | None

    @property
    def stock_by_ours(self) -> float | None:
        """The stock export's p50 divided by ours."""
        return None if self.stock is None else quotient(self.stock, self.ours)

    @property
    def twin_by_ours(self) -> float | None:
        """The twin's p50 divided by ours."""
        return None if self.twin is None else quotient(self.twin, self.ours)

    @property
    def valid(self) -> bool:
        return all(row is None or row.valid for row in (self.ours, self.stock, self.twin))

    @property
    def ids(self) -> list[str]:
        return [row.id for row in (self.ours, self.stock, self.twin) if row is not None]


def quotient(a: Row, b: Row) -> float | None:
    return a.p50_us / b.p50_us if b.p50_us > 0 else None


def by_precision(rows: Sequence[Row]) -> list[Trio]:
    """Each of our exports, with the stock export and the twin of the same format and precision."""
    stocks = {(row.model, row.format, precision_of_ours(row), *setting(row)): row for row in rows if is_stock(row)}
    twins = {(original_of(row), row.format, row.precision, *setting(row)): row for row in rows if original_of(row)}
    trios = []
    for row in originals(rows):
        key = (row.model, row.format, row.precision, *setting(row))
        trios.append(Trio(row, stocks.get(key), twins.get(key)))
    return [trio for trio in trios if trio.stock or trio.twin]


def fastest(rows: Sequence[Row]) -> list[Trio]:
    """For each model, engine, threads and batch: our fastest export, the fastest stock export and the fastest twin."""
    ours: dict[tuple[object, ...], Row] = {}
    for row in originals(rows):
        key = (row.model, *setting(row))
        ours[key] = min(ours.get(key, row), row, key=speed)
    trios = [Trio(row, stock_of(row, rows), twin_of(row, rows)) for row in ours.values()]
    return [trio for trio in trios if trio.stock or trio.twin]


def stock_of(row: Row, rows: Sequence[Row]) -> Row | None:
    return least(item for item in same_setting(row, rows) if item.model == row.model and is_stock(item))


def twin_of(row: Row, rows: Sequence[Row]) -> Row | None:
    return least(item for item in same_setting(row, rows) if original_of(item) == row.model and not is_stock(item))


def originals(rows: Sequence[Row]) -> Iterator[Row]:
    return (row for row in rows if row.model and not original_of(row) and not is_stock(row))


def same_setting(row: Row, rows: Sequence[Row]) -> Iterator[Row]:
    return (item for item in rows if setting(item) == setting(row))


def setting(row: Row) -> tuple[str, str, int, int]:
    return row.kind, row.engine, row.threads, row.batch


def is_stock(row: Row) -> bool:
    """Whether the row is a converter's output without our rewriting, measured for comparison."""
    precision = find_precision(row.format, row.precision)
    return precision is not None and precision.counterpart is not None


def precision_of_ours(row: Row) -> str | None:
    """The row's own precision; for a stock export, the precision of our export that it is compared with."""
    precision = find_precision(row.format, row.precision)
    return row.precision if precision is None else precision.counterpart or row.precision


def original_of(row: Row) -> str | None:
    """The original of the row's model, if that is an edge twin; otherwise None."""
    return MODELS[row.model].twin_of if row.model is not None and row.model in MODELS else None


def least(rows: Iterable[Row]) -> Row | None:
    return min(rows, key=speed, default=None)


def speed(row: Row) -> float:
    return row.p50_us
