"""Compare our export of the original with its stock export and its edge twin: same run, engine, threads and batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from fmnist_edge.benchmark.estimates import Estimate, ratio
from fmnist_edge.benchmark.results import Verdict
from fmnist_edge.benchmark.validity import VALID, judge_ratio
from fmnist_edge.catalog.models import MODELS
from fmnist_edge.catalog.precisions import find_precision
from fmnist_edge.report.runs import Row
from fmnist_edge.runtime.engine_catalog import shipped

__all__ = ["KINDS", "Claim", "Trio", "by_precision", "claims", "fastest", "is_stock", "precision_of_ours"]


KINDS = ("stock", "twin", "precision", "engine")
BASE_PRECISION = "float32"


@dataclass(frozen=True)
class Claim:
    """A ratio of the calm p50s of two cells of one run, paired round by round, with a verdict of its own.

    Attributes:
        kind: one of KINDS: what the two differ in.
        above, below: the ratio is above's p50 divided by below's.
    """

    kind: str
    above: Row
    below: Row

    @cached_property
    def estimate(self) -> Estimate | None:
        return ratio(self.above.rounds, self.below.rounds)

    @property
    def value(self) -> float | None:
        """The ratio; of the p50s of all samples where there are too few rounds for an estimate."""
        if self.estimate is not None:
            return self.estimate.value
        return self.above.p50_us / self.below.p50_us if self.below.p50_us > 0 else None

    @property
    def valid(self) -> bool:
        return self.verdict["status"] == VALID

    @property
    def verdict(self) -> Verdict:
        return judge_ratio(self.estimate)


@dataclass(frozen=True)
class Trio:
    """Our export, the stock export and the twin to compare it with. One of those two may be None."""

    ours: Row
    stock: Row | None
    twin: Row | None

    @cached_property
    def stock_claim(self) -> Claim | None:
        return None if self.stock is None else Claim("stock", self.stock, self.ours)

    @cached_property
    def twin_claim(self) -> Claim | None:
        return None if self.twin is None else Claim("twin", self.twin, self.ours)

    @property
    def stock_by_ours(self) -> float | None:
        """The stock export's p50 divided by ours."""
        return None if self.stock_claim is None else self.stock_claim.value

    @property
    def twin_by_ours(self) -> float | None:
        """The twin's p50 divided by ours."""
        return None if self.twin_claim is None else self.twin_claim.value

    @property
    def valid(self) -> bool:
        """Whether each of its ratios is VALID."""
        return all(claim is None or claim.valid for claim in (self.stock_claim, self.twin_claim))

    @property
    def ids(self) -> list[str]:
        return [row.id for row in (self.ours, self.stock, self.twin) if row is not None]


def claims(rows: Sequence[Row]) -> list[Claim]:
    """Every ratio that a run gives, of cells that differ in one thing: what converts, the network, the precision, or
    the engine. In the order of KINDS."""
    found = [claim for trio in by_precision(rows) for claim in (trio.stock_claim, trio.twin_claim) if claim]
    ours = [row for row in rows if row.model and not is_stock(row)]
    found += [
        Claim("precision", row, base)
        for row in ours
        for base in ours
        if base.precision == BASE_PRECISION != row.precision and alike(row, base, "format", "engine")
    ]
    found += [Claim("engine", row, base) for row in ours for base in on_base_engine(row, ours)]
    return sorted(found, key=lambda claim: KINDS.index(claim.kind))


def alike(a: Row, b: Row, *fields: str) -> bool:
    """Whether two rows agree in these fields, and in the model and in all of the setting but the engine."""
    same = ("model", "kind", "target", "threads", "batch", *fields)
    return all(getattr(a, name) == getattr(b, name) for name in same)


def on_base_engine(row: Row, rows: Sequence[Row]) -> list[Row]:
    """The rows of the same numbers on the engine that others are compared with: the first that ships among those that
    ran them. Where one has the same precision, only that: int8 and int8_only differ in their inputs and outputs."""
    same_numbers = [item for item in rows if alike(item, row) and numbers_of(item) == numbers_of(row)]
    ran = {item.engine for item in same_numbers}
    engine = next((name for name in shipped() if name in ran), min(ran))
    found = [item for item in same_numbers if item.engine == engine != row.engine]
    return [item for item in found if item.precision == row.precision] or found


def numbers_of(row: Row) -> tuple[str | None, ...]:
    """The types of the row's weights and activations; its precision if that is in no catalogue."""
    precision = find_precision(row.format, row.precision)
    return (row.precision,) if precision is None else (precision.weights, precision.activations)


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
    return row.known_us
