"""Define the columns of a report's tables, and format their rows as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import EllipsisType
from typing import Any

from fmnist_edge.catalog.precisions import find_precision
from fmnist_edge.report.intervals import (
    claim_text,
    claim_value,
    latency_interval,
    row_interval,
    tenths,
    with_interval,
)  # fmt: skip
from fmnist_edge.report.ratios import by_precision, claims, fastest
from fmnist_edge.report.runs import Row, Run

__all__ = [
    "ACCURACY", "BY_PRECISION", "COMPACT", "ENGINE", "FASTEST", "FILE", "FULL", "KNOWN", "MODEL", "PAGE", "RUNS",
    "SIZE", "THREADS", "VALID", "VERDICT", "Column", "Table", "every_ratio", "facts", "fronts", "latencies", "ratios",
    "row_verdict", "run_verdict", "side_by_side", "sound_ratios", "table_of",
]  # fmt: skip

NONE = "–"
Value = str | float | None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        value: item -> its value in this column, by which a table is sorted.
        write: value -> text.
        doubtful: whether an item's value gets a star.
        usual: the column is left out if all items have this value; with ... it is always shown.
    """

    heading: str
    value: Callable[[Any], Value]
    write: Callable[[Any], str] = str
    doubtful: Callable[[Any], bool] = lambda item: False
    usual: Value | EllipsisType = ...

    def text(self, item: Any) -> str:
        value = self.value(item)
        return NONE if value is None else self.write(value) + "*" * self.doubtful(item)


@dataclass(frozen=True)
class Table:
    """A table with one row per item."""

    title: str
    columns: Sequence[Column]
    items: Sequence[Any]

    @property
    def header(self) -> list[str]:
        return [column.heading for column in self.columns]

    @property
    def rows(self) -> list[list[str]]:
        return [[column.text(item) for column in self.columns] for item in self.items]


def table_of(title: str, columns: Sequence[Column], items: Sequence[Any]) -> Table:
    """A table without columns whose values are all the usual one, such as a batch size of 1."""
    shown_columns = [
        column for column in columns if column.usual is ... or any(column.value(item) != column.usual for item in items)
    ]
    return Table(title, shown_columns, items)


def thousands(value: float) -> str:
    return f"{value:,.0f}"


def hundredths(value: float) -> str:
    return f"{value:,.2f}"


def percent(value: float) -> str:
    return f"{value:.0%}".removesuffix("%")


def percent_2(value: float) -> str:
    return f"{100 * value:.2f}"


def scaled(value: float | None, by: float) -> float | None:
    return None if value is None else value / by


def accuracy_of(row: Row | None) -> float | None:
    return None if row is None else row.accuracy


def precision_of(row: Row | None) -> str | None:
    return None if row is None else row.precision


def row_verdict(row: Row) -> str:
    """The row's verdict, and the rules that it breaks."""
    broken = dict.fromkeys(rule for rule, _ in row.reasons)
    return f"{row.validity}: {', '.join(broken)}" if broken else row.validity


MODEL = Column("model", lambda row: row.group)
FILE = Column("file", lambda row: row.file)
ENGINE = Column("engine", lambda row: row.engine)
THREADS = Column("thr", lambda row: row.threads)
BATCH = Column("batch", lambda row: row.batch, usual=1)
TARGET = Column("on", lambda row: row.target, usual="cpu")
CALM = Column("calm µs", lambda row: row.known_us, tenths)
P50 = Column("p50 µs", lambda row: row.p50_us, tenths)
P90 = Column("p90 µs", lambda row: row.p90_us, tenths)
P99 = Column("p99 µs", lambda row: row.p99_us, tenths)
END_TO_END = Column("end-to-end µs", lambda row: row.end_to_end_us, tenths)
DEVICE = Column("GPU alone µs", lambda row: row.device_us, tenths, usual=None)
LOADED = Column("loaded kB", lambda row: scaled(row.loaded_bytes, 1e3), thousands, usual=None)
FIRST_ANSWER = Column("first answer ms", lambda row: scaled(row.first_answer_us, 1e3), thousands, usual=None)
FIRST = Column("first ms", lambda row: row.first_us / 1000, hundredths)
LOAD = Column("load ms", lambda row: row.load_us / 1000, hundredths)
RSS = Column("RSS MB", lambda row: scaled(row.peak_rss_bytes, 1e6), thousands)
SIZE = Column("kB", lambda row: scaled(row.size_bytes, 1e3), thousands)
ACCURACY = Column("acc %", accuracy_of, percent_2)
LIMIT = Column("% limit", lambda row: row.share_of_limit, percent)
VALID = Column("valid", lambda row: "yes" if row.valid else "no")

COMPACT = (FILE, ENGINE, TARGET, THREADS, BATCH, CALM, P50, P99, ACCURACY, SIZE, LIMIT, VALID)
PEAK = Column("% peak", lambda row: row.share_of_peak, percent)
VERDICT = Column("verdict", row_verdict)
KNOWN = Column("calm µs [95 %]", row_interval, latency_interval)
FRONT = (MODEL, FILE, ENGINE, TARGET, THREADS, BATCH, KNOWN, P99, ACCURACY, SIZE, VALID)
FULL = (
    MODEL, FILE, ENGINE, TARGET, THREADS, BATCH, CALM, P50, P90, P99, DEVICE, END_TO_END, FIRST, LOAD,
    LOADED, FIRST_ANSWER, RSS, SIZE, ACCURACY, PEAK, LIMIT, VERDICT,
)  # fmt: skip
PAGE = (
    MODEL,
    Column("precision", lambda row: row.precision),
    Column("format", lambda row: row.format),
    ENGINE, TARGET, THREADS, BATCH, CALM, P50, P90, P99, DEVICE, ACCURACY, SIZE,
    Column("kind", lambda row: row.kind),
    VERDICT, END_TO_END, FIRST, LOAD, LOADED, FIRST_ANSWER, RSS,
    Column("images/s", lambda row: row.images_per_s, thousands),
    PEAK, LIMIT,
    Column("sustained ÷ burst", lambda row: row.sustained_by_burst, hundredths),
    Column("± % p50", lambda row: scaled(row.repeatability, 0.01), tenths),
)  # fmt: skip

TRIO = (
    Column("stock × [95 %]", lambda trio: claim_value(trio.stock_claim), with_interval),
    Column("twin × [95 %]", lambda trio: claim_value(trio.twin_claim), with_interval),
    Column("ours %", lambda trio: accuracy_of(trio.ours), percent_2),
    Column("stock %", lambda trio: accuracy_of(trio.stock), percent_2),
    Column("twin %", lambda trio: accuracy_of(trio.twin), percent_2),
    Column("ratios valid", lambda trio: "yes" if trio.valid else "no"),
)
CLAIMS = (
    Column("model", lambda claim: claim.below.model),
    Column("ratio", lambda claim: claim_text(claim)),
    Column("thr", lambda claim: claim.below.threads),
    Column("batch", lambda claim: claim.below.batch, usual=1),
    Column("× [95 %]", claim_value, with_interval),
    Column("rounds", lambda claim: claim.estimate and claim.estimate.rounds),
    Column("verdict", lambda claim: claim.verdict["status"]),
)
SETTING = (
    Column("engine", lambda trio: trio.ours.engine),
    Column("thr", lambda trio: trio.ours.threads),
    Column("batch", lambda trio: trio.ours.batch, usual=1),
)
BY_PRECISION = (
    Column("model", lambda trio: trio.ours.model),
    Column("file", lambda trio: trio.ours.file),
    *SETTING,
    Column("ours calm µs", lambda trio: trio.ours.known_us, tenths),
    *TRIO,
)
FASTEST = (
    Column("model", lambda trio: trio.ours.model),
    *SETTING,
    Column("ours", lambda trio: precision_of(trio.ours)),
    Column("stock", lambda trio: precision_of(trio.stock)),
    Column("twin", lambda trio: precision_of(trio.twin)),
    *TRIO,
)
CPU = Column("CPU", lambda run: dict(run.machine).get("CPU"))
RUNS = (
    Column("device", lambda run: run.device),
    CPU,
    Column("created", lambda run: run.created[:16].replace("T", " ")),
    Column("plan", lambda run: run.plan),
    Column("cells", lambda run: len(run.rows)),
    Column("VALID cells", lambda run: sum(row.valid for row in run.rows)),
    Column("verdict", lambda run: run_verdict(run)),
)


def run_verdict(run: Run) -> str:
    """The run's verdict, and the rules that it breaks."""
    broken = dict.fromkeys(rule for rule, _ in run.reasons)
    return f"{run.verdict}: {', '.join(broken)}" if broken else run.verdict


BEYOND_PEAK = (
    "float32 cells are beyond 100 % of the measured peak: NumPy's BLAS does less than this CPU can, and % peak and "
    "% limit only tell which cell is nearer to it"
)


def facts(run: Run) -> list[str]:
    """What a reader must know about a run besides its figures, one line each."""
    text = dict(run.machine)
    dots = f", int8 instructions {text['int8 instructions']}" if "int8 instructions" in text else ""
    lines = [f"{text.get('CPU', NONE)}{dots}, {text.get('cores', NONE)} cores; plan {run.plan}, {run.created}"]
    lines += [f"{run.verdict}: {rule}: {found}" for rule, found in run.reasons] or [run.verdict]
    if run.unseen:
        lines.append(f"not to be seen on this machine: {', '.join(run.unseen)}")
    if any(is_float(row) and (row.share_of_peak or 0) > 1 for row in run.rows):
        lines.append(BEYOND_PEAK)
    return [*lines, *run.missing]


def is_float(row: Row) -> bool:
    precision = find_precision(row.format, row.precision)
    return precision is not None and precision.kind == "float"


def latencies(run: Run) -> Table:
    """Every measured cell."""
    return table_of("Every cell", FULL, run.rows)


def fronts(run: Run) -> Table:
    """The cells on the Pareto front of latency and accuracy, the fastest first."""
    rows = sorted((row for row in run.rows if row.front), key=lambda row: (*row.setting, row.known_us))
    return table_of("Pareto front of latency and accuracy", FRONT, rows)


def ratios(run: Run) -> list[Table]:
    """Comparisons of our exports with stock exports and twins, without empty tables."""
    tables = [
        table_of("Fastest of ours, stock exports and twin: calm p50 in multiples of ours", FASTEST, fastest(run.rows)),
        table_of("By precision: calm p50 in multiples of ours", BY_PRECISION, by_precision(run.rows)),
    ]
    return [table for table in tables if table.items]


def every_ratio(run: Run) -> Table:
    """Each ratio of two cells that differ in one thing, with its own verdict."""
    return table_of("Ratios within the run", CLAIMS, claims(run.rows))


def sound_ratios(run: Run) -> Table:
    """The ratios that are VALID."""
    return table_of("Ratios within the run", CLAIMS[:-1], [claim for claim in claims(run.rows) if claim.valid])


def side_by_side(runs: Sequence[Run]) -> Table | None:
    """Calm p50 by device, for cells measured on at least two devices; each from the newest run that has it.

    None when there is no such cell.
    """
    devices = list(dict.fromkeys(run.device for run in runs))
    found: dict[tuple[object, ...], dict[str, Row]] = {}
    for run in runs:
        for row in run.rows:
            key = (row.group, row.file, row.engine, row.threads, row.batch)
            found.setdefault(key, {}).setdefault(row.device, row)
    shared = [cells for cells in found.values() if len(cells) > 1]
    if not shared:
        return None
    first = [over_devices(column) for column in (MODEL, FILE, ENGINE, TARGET, THREADS, BATCH)]
    return table_of("Calm p50 µs by device, * where INVALID", [*first, *map(column_of, devices)], shared)


def over_devices(column: Column) -> Column:
    return replace(column, value=lambda cells: column.value(next(iter(cells.values()))))


def column_of(device: str) -> Column:
    def value(cells: dict[str, Row]) -> float | None:
        return cells[device].known_us if device in cells else None

    return Column(device, value, tenths, doubtful=lambda cells: not cells[device].valid)
