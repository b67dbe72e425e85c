"""The parts of the HTML page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fmnist_edge.report import boards, charts, tables
from fmnist_edge.report.boards import Line
from fmnist_edge.report.markup import Markup, join, tag
from fmnist_edge.report.runs import MEASURED, Row, Run
from fmnist_edge.report.signs import Signs
from fmnist_edge.report.tables import Column, Table

__all__ = ["elsewhere", "filters", "introduction", "overview", "run_section", "side_by_side"]

Ids = Callable[[Any], list[str]]  # of the rows that a line of a table is about


def introduction(runs: Sequence[Run]) -> Markup:
    return tag(
        "header",
        tag("h1", "Benchmark report"),
        tag(
            "p",
            "Latency of one call, in fresh processes; percentiles are of all samples, none removed, and p99 takes 662 "
            "of them. A figure is VALID when nothing was seen that spoke against it, and INVALID for the reasons "
            "beside it. % peak is of the machine's measured float32 matrix product, % limit of what that and its "
            "memory speed allow; integers may exceed both, and floats a BLAS that is not the CPU's best. ± % p50 is "
            "how far two such runs may lie apart.",
        ),
    )


def filters(count: int) -> Markup:
    """Filled by page.js, and hidden without it."""
    total = tag("output", f"{count} of {count} cells", id="count", aria_live="polite")
    summary = tag("summary", "Filters: ", total)
    return tag("details", summary, tag("form", id="filters", aria_label="Filters"), class_="filters", hidden=True)


def overview(runs: Sequence[Run]) -> Markup:
    """A line per results file."""
    files = Column("results file", lambda run: run.file)
    return table(Table("Results", [*tables.RUNS, files], runs), lambda run: [row.id for row in run.rows])


def side_by_side(runs: Sequence[Run]) -> Markup | None:
    """Devices that measured the same."""
    made = tables.side_by_side(runs)
    if made is None:
        return None
    return tag("article", table(made, lambda cells: [row.id for row in cells.values()]), data_group=True)


def run_section(run: Run, signs: Signs) -> Markup:
    badge = tag("span", run.verdict, class_=f"badge {run.verdict}")
    parts = [
        tag("h2", f"{run.device} ", kind(MEASURED), " ", badge),
        tag("p", f"plan {run.plan}, {run.created}, {run.file}", class_="soft"),
        *verdict(run),
        machine(run),
    ]
    if run.rows:
        parts += [*scatters(run, signs), all_cells(run), *curves(run, signs), *ratios(run)]
    return tag("article", *parts, data_group=bool(run.rows))


def kind(name: str) -> Markup:
    """How the figures below came about."""
    return tag("span", name, class_=f"badge {name}")


def elsewhere(lines: Sequence[Line]) -> Markup | None:
    """Emulated cores and estimated boards, apart from everything that was measured."""
    if not lines:
        return None
    return tag(
        "article",
        tag("h2", "Raspberry Pi boards that were not at hand ", kind(boards.EMULATED), " ", kind(boards.ESTIMATED)),
        tag(
            "p",
            "Emulated: the aarch64 wheels under QEMU, which proves answers and counts instructions, and has no clock. "
            "Estimated: those instructions through a model of the core, times one constant a board that is fitted on "
            "ncnn's published figures. Neither was measured on a board.",
        ),
        tag("div", table(boards.emulated(lines), no_ids), class_=boards.EMULATED),
        tag("div", table(boards.estimated(lines), no_ids), class_=boards.ESTIMATED),
    )


def no_ids(_: Line) -> list[str]:
    """No measured row is behind it, so filters leave it alone."""
    return []


def verdict(run: Run) -> list[Markup]:
    lines = [f"{rule}: {text}" for rule, text in run.reasons]
    parts = [tag("ul", *(tag("li", line) for line in lines), class_="plain")] if lines else []
    if run.unseen:
        parts.append(tag("p", f"Not to be seen on this machine: {', '.join(run.unseen)}.", class_="soft"))
    if run.missing:
        missing = tag("ul", *(tag("li", line) for line in run.missing), class_="plain")
        parts.append(tag("details", tag("summary", "Not measured"), missing))
    return parts


def machine(run: Run) -> Markup:
    facts = [part for name, text in run.machine for part in (tag("dt", name), tag("dd", text))]
    return tag("details", tag("summary", "Machine"), tag("dl", *facts, class_="facts"))


def scatters(run: Run, signs: Signs) -> list[Markup]:
    """For each target and batch size: latency against accuracy and size, with the front as a table beside it."""
    parts = []
    for target, batch in sorted({row.setting for row in run.rows}):
        rows = [row for row in run.rows if row.setting == (target, batch)]
        on = "" if target == "cpu" else f", on the {target.upper()}"
        of = "" if batch == 1 else f", batches of {batch}"
        parts.append(tag("h3", f"Latency, accuracy and size{on}{of}"))
        parts.append(tag("div", scatter(rows, signs), front(rows), class_="pair"))
    return parts


def scatter(rows: Sequence[Row], signs: Signs) -> Markup:
    judged = [row for row in rows if row.accuracy is not None]
    members = "VALID cells" if any(row.valid for row in judged) else "all cells, none being VALID"
    caption = (
        "Upper left is better. Larger signs are larger files. The dashed line is the best accuracy that a latency "
        f"allows (Pareto front of {members}); outlined: no other beats it in latency, accuracy and size together."
    )
    if not judged:
        caption = "Larger signs are larger files. No accuracies: run `fmnist-edge check` before `bench`."
    drawn = tag("div", charts.scatter(rows, signs), class_="wide fades")
    return tag("figure", drawn, signs.legend(rows), tag("figcaption", caption))


def front(rows: Sequence[Row]) -> Markup | None:
    members = sorted((row for row in rows if row.front), key=lambda row: row.p50_us)
    if not members:
        return None
    places = {row.id: place for place, row in enumerate(members, 1)}
    number = Column("no.", lambda row: places[row.id])
    columns = (
        number, tables.MODEL, tables.FILE, tables.ENGINE, tables.THREADS, tables.P50, tables.ACCURACY, tables.SIZE,
    )  # fmt: skip
    return tag("div", table(Table("On the Pareto front", columns, members), ids))


def all_cells(run: Run) -> Markup:
    return join(tag("h3", "Every cell"), table(tables.table_of("", tables.PAGE, run.rows), ids, anchors=True))


def curves(run: Run, signs: Signs) -> list[Markup]:
    """Percentiles by model, then burst against sustained."""
    panels = []
    for model in dict.fromkeys(row.group for row in run.rows):
        rows = [row for row in run.rows if row.group == model and row.curve]
        if rows:
            panels.append(tag("figure", tag("h4", model), charts.percentiles(rows, signs), data_group=True))
    long_enough = [row for row in run.rows if row.sustained_by_burst is not None]
    caption = "Above the line, the later half of each round was slower than its first second."
    if long_enough:
        figure = tag("figure", charts.sustained(long_enough, signs), tag("figcaption", caption), class_="wide")
    else:
        figure = tag("p", "Rounds were shorter than two seconds, so there is no first second to tell apart.")
    lines = tag(
        "p",
        "As far into the tail as the number of samples allows. Colours and shapes as above; stock exports are dashed, "
        "INVALID ones dotted.",
        class_="soft",
    )
    return [
        *([tag("h3", "Latency by percentile"), lines, tag("div", *panels, class_="panels")] if panels else []),
        tag("h3", "Burst and sustained"),
        figure,
    ]


def ratios(run: Run) -> list[Markup]:
    made = [table(item, lambda trio: trio.ids) for item in tables.ratios(run)]
    if not made:
        return []
    note = "p50 divided by that of our export of the original, same engine and threads, one run: above 1 is slower."
    return [tag("h3", "Original, twin and stock export"), tag("p", note, class_="soft"), *made]


def ids(row: Row) -> list[str]:
    return [row.id]


def table(made: Table, ids: Ids, anchors: bool = False) -> Markup:
    """A table that can be sorted and, where it is too wide, moved by keyboard. `anchors`: a row can be jumped to."""
    head = [
        tag("th", tag("button", column.heading, type="button"), scope="col", class_=alignment(column, made.items))
        for column in made.columns
    ]
    body = [
        tag("tr", *cells(made, item), data_row=" ".join(ids(item)) or None, id=ids(item)[0] if anchors else None)
        for item in made.items
    ]
    title = made.title or "Every cell"
    drawn = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body), aria_label=title)
    heading = tag("h3", made.title) if made.title else None
    return join(heading, tag("div", drawn, class_="scroll", role="region", aria_label=title, tabindex=0))


def cells(made: Table, item: Any) -> list[Markup]:
    """The first heads its row. A verdict with reasons unfolds."""
    drawn = []
    for place, column in enumerate(made.columns):
        child = reasons(item) if column is tables.VERDICT else column.text(item)
        value = column.value(item)
        sort = repr(value) if isinstance(value, float) else value  # all its digits
        name, scope = ("td", None) if place else ("th", "row")
        drawn.append(tag(name, child, scope=scope, class_=alignment(column, made.items), data_sort=sort))
    return drawn


def alignment(column: Column, items: Sequence[Any]) -> str | None:
    """Numbers to the right."""
    return None if any(isinstance(column.value(item), str) for item in items) else "n"


def reasons(row: Row) -> Markup:
    label = tag("span", tables.rules(row), class_=row.validity)
    if not row.reasons:
        return label
    return tag(
        "details", tag("summary", label), tag("ul", *(tag("li", f"{rule}: {text}") for rule, text in row.reasons))
    )
