"""Charts as Vega-Lite specifications, made by Altair: latency against accuracy, by percentile, burst against sustained.

Text from a results file is only in the data and in the domains of scales, which Vega treats as text. It is never in an
expression, a title or the name of a field.

The page's script sets the parameters of every chart: `ink`, `soft` and `paper` are the page's colours, and `hidden`
contains the ids of the rows that the page's filters hide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fmnist_edge.aliases import JsonObject
from fmnist_edge.report import encodings
from fmnist_edge.report.curve import nines
from fmnist_edge.report.encodings import Data, cells, finished
from fmnist_edge.report.intervals import tenths
from fmnist_edge.report.markers import Markers
from fmnist_edge.report.runs import Row

if TYPE_CHECKING:
    import altair as alt

__all__ = ["percentiles", "scatter", "sustained", "unknown_accuracies"]

PERCENTILES = (50, 90, 99, 99.9, 99.99, 99.999)  # with a label on the axis
LATENCY = "calm p50 latency, µs per call"


def scatter(rows: Sequence[Row], among: Sequence[Row], markers: Markers) -> Data:
    """Latency against accuracy, for rows whose accuracy is known.

    The area of a mark shows the artifact's size. The cells on the Pareto front are numbered and joined by a line. The
    scales of latency and size cover all rows in `among`.
    """
    import altair as alt

    members = sorted((row for row in rows if row.front), key=lambda row: row.known_us)
    others = sorted((row for row in rows if not row.front), key=lambda row: -(row.size_bytes or 0))  # small ones on top
    marks = cells(rows, markers).encode(
        x=latency(among),
        y=alt.Y(
            "accuracy:Q",
            title="accuracy, %",
            axis=alt.Axis(tickCount=6),
            scale=alt.Scale(domain=encodings.linear((percent(row) for row in rows), least=0.5), nice=False),
        ),
        size=encodings.size(among),
        tooltip=encodings.tooltips(rows),
    )
    line = alt.Chart(alt.NamedData("front")).encode(x="p50:Q", y="accuracy:Q", color=encodings.ink())
    line = line.mark_line(interpolate="step-after", strokeDash=[6, 4], strokeWidth=1.5, clip=True)
    data = {"cells": [point(row, among) for row in [*others, *members]], "front": staircase(members, among),
            "numbers": numbers(members)}  # fmt: skip
    bars = alt.Chart(alt.NamedData("cells")).transform_filter(encodings.SHOWN).mark_rule(strokeWidth=1, clip=True)
    bars = bars.encode(x="lower:Q", x2="upper:Q", y="accuracy:Q", color=encodings.ink(), opacity=alt.OpacityValue(0.5))
    return finished([marks, bars, line, *number_layers()], data, height=400)


def unknown_accuracies(rows: Sequence[Row], among: Sequence[Row], markers: Markers, *, legend: bool) -> Data:
    """Latency of rows whose accuracy is not known. The chart stands below the scatter, and has the same scales."""
    import altair as alt

    marks = cells(rows, markers, legend).encode(
        x=latency(among),
        y=alt.Y("accuracy:Q", title=" ", axis=alt.Axis(values=[]), scale=alt.Scale(domain=[-1, 1])),
        size=encodings.size(among),
        tooltip=encodings.tooltips(rows),
    )
    return finished([marks], {"cells": [{**point(row, among), "accuracy": 0} for row in rows]}, height=50)


def percentiles(rows: Sequence[Row], markers: Markers) -> Data:
    """Latency by percentile: a line per row, with a mark for the engine at each labelled percentile."""
    import altair as alt

    last = max(1.0, *(nines(row.curve[-1][0]) for row in rows))
    labelled = [nines(percentile) for percentile in PERCENTILES if nines(percentile) <= last + 1e-6]
    titles = {"name": "cell", "percentile": "percentile", "latency": "latency, µs", "p50": "p50 µs", "p99": "p99 µs",
              "state": "verdict"}  # fmt: skip
    base = alt.Chart(alt.NamedData("curves")).transform_filter(encodings.SHOWN)
    base = base.transform_flatten(["nines", "us", "percentile", "latency"]).encode(
        x=alt.X(
            "nines:Q",
            title="percentile of all samples",
            scale=alt.Scale(domain=[0, 1.04 * last], nice=False),
            axis=alt.Axis(values=labelled, labelExpr="'p' + format(100 * (1 - pow(10, -datum.value)), '~g')"),
        ),
        y=encodings.log_axis("Y", "us", (value for row in rows for _, value in row.curve), "latency, µs"),
        stroke=encodings.colour("Stroke", rows, markers),
        detail="id:N",
        tooltip=[alt.Tooltip(f"{field}:N", title=title) for field, title in titles.items()],
    )
    hover = alt.selection_point(name="hover", on="pointerover", clear="pointerout", fields=["id"], empty=False)
    lines = base.mark_line(clip=True).add_params(hover).properties(name="lines").encode(
        strokeDash=encodings.by_state("StrokeDash", rows, "line_dash"),
        strokeWidth=alt.StrokeWidthValue(1.8, condition={"param": "hover", "empty": False, "value": 4}),
    )  # fmt: skip
    at_labels = " || ".join(f"abs(datum.nines - {place:.3f}) < 0.01" for place in labelled)
    marks = base.transform_filter(at_labels).mark_point(size=45, clip=True).encode(
        fill=encodings.colour("Fill", rows, markers),
        fillOpacity=encodings.by_state("FillOpacity", rows, "fill"),
        shape=encodings.shape(rows, markers),
    )  # fmt: skip
    return finished([lines, marks], {"curves": list(map(curve, rows))}, height=300, fit=True)


def sustained(rows: Sequence[Row], markers: Markers) -> Data:
    """How much slower the later half of each round is than its first second. `rows` must have both figures."""
    import altair as alt

    titles = {"name": "cell", "burst_text": "burst p50 µs", "sustained_text": "sustained p50 µs",
              "ratio_text": "sustained ÷ burst", "state": "verdict"}  # fmt: skip
    marks = cells(rows, markers, legend=False).encode(
        x=encodings.log_axis("X", "burst", (row.burst_us or 0 for row in rows), "p50 of the first second, µs"),
        y=alt.Y(
            "ratio:Q",
            title="sustained ÷ burst",
            axis=alt.Axis(tickCount=6),
            scale=alt.Scale(domain=encodings.linear([1.0, *map(ratio, rows)], least=0.04), nice=False),
        ),
        size=alt.value(110),
        tooltip=[alt.Tooltip(f"{field}:N", title=title) for field, title in titles.items()],
    )
    even = alt.Chart(alt.NamedData("even")).mark_rule(strokeDash=[2, 4], clip=True)
    data = {"cells": list(map(pace, rows)), "even": [{"ratio": 1}]}
    return finished([marks, even.encode(y="ratio:Q", color=encodings.ink())], data, height=260)


def point(row: Row, among: Sequence[Row]) -> Data:
    """The data of a row in a scatter."""
    known = {} if row.accuracy is None else {"accuracy": percent(row)}
    found = row.estimate
    ends = (row.known_us, row.known_us) if found is None else (found.lower, found.upper)
    lower, upper = (max(end, encodings.MIN_US) for end in ends)
    sized = {"p50": max(row.known_us, encodings.MIN_US), "lower": lower, "upper": upper}
    sized["bytes"] = encodings.size_of(row, among)
    return {**encodings.look(row), **encodings.texts(row), **sized, **known}


def curve(row: Row) -> Data:
    """The data of a row in the chart of percentiles. Vega flattens its lists, so the row's name is stored only once."""
    places, values = zip(*row.curve, strict=True)
    return {
        **encodings.look(row),
        "p50": tenths(row.p50_us),
        "p99": "–" if row.p99_us is None else tenths(row.p99_us),
        "nines": [round(nines(place), 3) for place in places],
        "us": [max(value, encodings.MIN_US) for value in values],
        "percentile": [f"{place:.7g}" for place in places],
        "latency": list(map(tenths, values)),
    }


def pace(row: Row) -> Data:
    """The data of a row in the chart of burst and sustained."""
    burst = row.burst_us or 0
    return {
        **encodings.look(row),
        "burst": max(burst, encodings.MIN_US),
        "ratio": ratio(row),
        "burst_text": tenths(burst),
        "sustained_text": tenths(row.sustained_us or 0),
        "ratio_text": f"{ratio(row):.3f}",
    }


def latency(rows: Sequence[Row]) -> alt.X:
    return encodings.log_axis("X", "p50", (row.known_us for row in rows), LATENCY)


def staircase(members: Sequence[Row], rows: Sequence[Row]) -> list[Data]:
    """The Pareto front as a staircase: the best accuracy for each latency, up to the end of the axis."""
    steps = [{"p50": max(row.known_us, encodings.MIN_US), "accuracy": percent(row)} for row in members]
    end = encodings.logarithmic(row.known_us for row in rows)[1]
    return [*steps, {**steps[-1], "p50": end}] if steps else []


def numbers(members: Sequence[Row]) -> list[Data]:
    """The number of each member of the front, and its position."""
    return [
        {"id": row.id, "number": str(place), "p50": max(row.known_us, encodings.MIN_US), "accuracy": percent(row)}
        for place, row in enumerate(members, 1)
    ]


def number_layers() -> list[alt.Chart]:
    """The numbers above their marks. A border in the page's colour keeps them readable on top of other marks."""
    import altair as alt

    base = alt.Chart(alt.NamedData("numbers")).encode(x="p50:Q", y="accuracy:Q", text="number:N")
    base = base.encode(opacity=encodings.shown())
    placed: JsonObject = {"dy": -16, "fontWeight": "bold", "fontSize": 13, "clip": True}
    border = base.mark_text(**placed, stroke=alt.ExprRef("paper"), strokeWidth=4, strokeJoin="round")
    return [border, base.mark_text(**placed).encode(color=encodings.ink())]


def percent(row: Row) -> float:
    return 100 * (row.accuracy or 0)


def ratio(row: Row) -> float:
    return row.sustained_by_burst or 0
