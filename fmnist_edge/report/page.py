"""Write a report as one HTML page that needs no network and no other file.

The templates in `templates/` escape all text from results files. A Content-Security-Policy allows only the page's own
scripts, without `eval`, and blocks all loading. Without JavaScript the page still shows everything except for charts,
filters and sorting.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fmnist_edge import __version__
from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import UnavailableError
from fmnist_edge.report import boards, charts, tables
from fmnist_edge.report.boards import BoardFigures
from fmnist_edge.report.markers import Markers
from fmnist_edge.report.ratios import Claim, Trio
from fmnist_edge.report.runs import MEASURED, Row, Run
from fmnist_edge.report.summary import row_as_json
from fmnist_edge.report.tables import Column, Table

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["page", "scripts"]

NEEDED = ("altair", "jinja2")
VENDORED = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js")  # in this order: each needs the ones before it
SCRIPTS = ("charts.js", "page.js")
FIELDS = ("id", "device", "kind", "model", "precision", "engine", "threads", "batch", "validity")  # for the filters


def page(runs: Sequence[Run], lines: Sequence[BoardFigures] = ()) -> str:
    """The whole page as text. Raises UnavailableError when Altair or Jinja2 is not installed."""
    require()
    rows = [row for run in runs for row in run.rows]
    specs = Specs(Markers.of(rows))
    running = scripts()
    return environment().get_template("page.html.j2").render(
        devices=list(dict.fromkeys(run.device for run in runs)),
        version=__version__,
        policy=policy(running),
        style=asset("page.css"),
        scripts=running,
        count=len(rows),
        overview=overview(runs),
        runs=[run_context(run, specs) for run in runs],
        side_by_side=tables.side_by_side(runs),
        board_tables=board_tables(lines),
        rows=[{name: row_as_json(row)[name] for name in FIELDS} for row in rows],
        charts=specs.made,
    )  # fmt: skip


def require() -> None:
    """Raises UnavailableError when a package that the page needs is not installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        raise UnavailableError(f"the report page needs {names}; run: pip install 'fmnist-edge[report]'")


def environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("fmnist_edge.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.policies["json.dumps_kwargs"] = {"allow_nan": False}
    made.globals.update(row_ids=row_ids, VERDICT=tables.VERDICT, MEASURED=MEASURED, verdict_of=tables.row_verdict)
    made.filters.update(sort_key=sort_key)
    made.tests.update(numeric=numeric)
    return made


# ---- what the templates show


@dataclass
class Specs:
    """The charts of a page. Each gets a number; its place on the page refers to it by that number."""

    markers: Markers
    made: list[JsonObject] = field(default_factory=list)

    def add(self, spec: JsonObject) -> int:
        self.made.append(spec)
        return len(self.made) - 1


def overview(runs: Sequence[Run]) -> Table:
    return Table("Results", [*tables.RUNS, Column("results file", lambda run: run.file)], runs)


def board_tables(lines: Sequence[BoardFigures]) -> list[tuple[str, Table]]:
    """(kind, table) of the emulated and of the estimated figures."""
    kinds = (boards.EMULATED, boards.emulated(lines)), (boards.ESTIMATED, boards.estimated(lines))
    return list(kinds) if lines else []


def run_context(run: Run, specs: Specs) -> JsonObject:
    every = tables.every_ratio(run)
    paced = [row for row in run.rows if row.sustained_by_burst is not None]
    return {
        "run": run,
        "settings": [setting(run, target, batch, specs) for target, batch in sorted({row.setting for row in run.rows})],
        "cells": tables.table_of("", tables.PAGE, run.rows),
        "panels": list(panels(run, specs)),
        "sustained": specs.add(charts.sustained(paced, specs.markers)) if paced else None,
        "ratios": [*tables.ratios(run), *([every] if every.items else [])],
    }


def setting(run: Run, target: str, batch: int, specs: Specs) -> JsonObject:
    """The template's context for one target and batch size: the scatter, and the Pareto front as a table."""
    rows = [row for row in run.rows if row.setting == (target, batch)]
    known = [row for row in rows if row.accuracy is not None]
    unknown = [row for row in rows if row.accuracy is None]
    return {
        "target": target,
        "batch": batch,
        "scatter": specs.add(charts.scatter(known, rows, specs.markers)) if known else None,
        "unknown": specs.add(charts.unknown_accuracies(unknown, rows, specs.markers, legend=not known))
        if unknown
        else None,
        "front": front(rows),
    }


def front(rows: Sequence[Row]) -> Table:
    members = sorted((row for row in rows if row.front), key=lambda row: row.known_us)
    places = {row.id: place for place, row in enumerate(members, 1)}
    columns = (
        Column("no.", lambda row: places[row.id]), tables.MODEL, tables.FILE, tables.ENGINE, tables.THREADS,
        tables.KNOWN, tables.ACCURACY, tables.SIZE, tables.VALID,
    )  # fmt: skip
    return Table("On the Pareto front", columns, members)


def panels(run: Run, specs: Specs) -> Iterator[JsonObject]:
    """A chart of latency by percentile for each model."""
    for model in dict.fromkeys(row.group for row in run.rows):
        rows = [row for row in run.rows if row.group == model and row.curve]
        if rows:
            ids = [row.id for row in rows]
            yield {"model": model, "chart": specs.add(charts.percentiles(rows, specs.markers)), "ids": ids}


def row_ids(item: Row | Run | Trio | Claim | BoardFigures | dict[str, Row]) -> list[str]:
    """Ids of the measured rows that a table's row shows. Filters hide it when they hide all of these."""
    match item:
        case Row():
            return [item.id]
        case Run():
            return [row.id for row in item.rows]
        case Trio():
            return item.ids
        case Claim():
            return [item.above.id, item.below.id]
        case dict():
            return [row.id for row in item.values()]
    return []  # a BoardFigures has no measured rows, so filters never hide it


def sort_key(value: str | float | None) -> str:
    """The text by which a table sorts a value; numbers have all their digits."""
    return "" if value is None else str(value)


def numeric(column: Column, items: Sequence[object]) -> bool:
    """Whether a column contains only numbers; it is then aligned to the right."""
    return not any(isinstance(column.value(item), str) for item in items)


# ---- scripts and styles


def scripts() -> list[str]:
    """The page's scripts, in the order in which they run."""
    return [*map(published, VENDORED), *map(asset, SCRIPTS)]


@cache
def asset(name: str) -> str:
    return resources.files("fmnist_edge.report").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def published(name: str) -> str:
    """A vendored script without its last line, which names a source map that we do not include."""
    text = resources.files("fmnist_edge.report").joinpath("assets", "vendor", name).read_text(encoding="utf-8")
    return text.partition("\n//# sourceMappingURL=")[0]


def policy(running: Sequence[str]) -> str:
    """The Content-Security-Policy: scripts by their hashes, inline styles, images in data URLs, nothing else."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in running]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}; img-src data:"
