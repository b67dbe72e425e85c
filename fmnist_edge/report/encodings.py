"""Parts that all charts share: data and appearance of marks, axes, legends, highlighting, zoom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fmnist_edge.aliases import JsonObject
from fmnist_edge.report import tables
from fmnist_edge.report.markers import SHAPES, STATES, Markers, State, precision_of, state_of
from fmnist_edge.report.ratios import is_stock
from fmnist_edge.report.runs import Row

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "MIN_US",
    "Data",
    "by_state",
    "cells",
    "colour",
    "finished",
    "ink",
    "linear",
    "log_axis",
    "logarithmic",
    "look",
    "name_of",
    "shape",
    "shown",
    "size",
    "size_of",
    "texts",
    "tooltips",
]  # fmt: skip

Data = JsonObject

MIN_US = 1e-3  # µs; a logarithmic axis cannot show 0
AREAS = (90, 420)  # area in square pixels of the mark of the smallest and of the largest artifact
SHOWN = "indexof(hidden, datum.id) < 0"
LEGENDS = {"by_precision": "precision", "by_engine": "engine", "by_state": "state"}
# Width of the chart's place, without the axis. Using `width` makes Vega compute it again when the width changes. The
# value of `width` itself is set too late.
LEGEND_WIDTH = "(width ? containerSize()[0] - 70 : 0)"
LEGEND_LETTERS = 20  # longest name in a legend; the page's script truncates longer ones
FIRST_DIGIT = "round(datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9)))"  # of a tick's value
# Defaults; the page's script sets these parameters.
PAGE_PARAMS = {"hidden": [], "ink": "black", "soft": "gray", "rule": "silver", "paper": "white"}
ZOOM = "wheel![event.ctrlKey || event.metaKey]"  # the wheel alone scrolls the page


# ---- data


def look(row: Row) -> Data:
    """The data that determine a mark's appearance, and the id of its row."""
    return {
        "id": row.id, "name": name_of(row), "precision": precision_of(row), "engine": row.engine,
        "state": state_of(row), "outlined": row.unbeaten and not is_stock(row),
    }  # fmt: skip


def name_of(row: Row) -> str:
    batch = ("" if row.batch == 1 else f", batch {row.batch}") + ("" if row.target == "cpu" else f", {row.target}")
    return f"{row.group} {row.file}, {row.engine}, {row.threads} thread{'s' * (row.threads != 1)}{batch}"


def texts(row: Row) -> Data:
    """Every figure of a row, formatted as in the page's table."""
    return {f"text{place}": column.text(row) for place, column in enumerate(tables.PAGE)}


def tooltips(rows: Sequence[Row]) -> list[alt.Tooltip]:
    """Tooltips with those of `texts` that the page's table shows for `rows`."""
    import altair as alt

    shown_columns = tables.table_of("", tables.PAGE, rows).columns
    places = [place for place, column in enumerate(tables.PAGE) if column in shown_columns]
    return [alt.Tooltip(f"text{place}:N", title=tables.PAGE[place].heading) for place in places]


def size_of(row: Row, among: Sequence[Row]) -> float:
    """Size of the artifact in bytes, at least 1. An unknown size becomes that of the smallest artifact."""
    return max(row.size_bytes or min((item.size_bytes for item in among if item.size_bytes), default=1), 1)


# ---- axes


def linear(values: Iterable[float], least: float) -> list[float]:
    """The ends of an axis. It is 10 % longer than its values at each end, and at least `least` long."""
    known = list(values)
    low, high = min(known), max(known)
    margin = max(0.1 * (high - low), (least - (high - low)) / 2, least / 10)
    return [low - margin, high + margin]


def logarithmic(values: Iterable[float]) -> list[float]:
    """The ends of a logarithmic axis: the lowest value divided by 1.25, and the highest times 1.25."""
    known = [max(value, MIN_US) for value in values]
    return [max(min(known) / 1.25, MIN_US), max(known) * 1.25]


def log_axis(channel: str, field: str, values: Iterable[float], title: str) -> Any:
    """The encoding of a logarithmic axis; `channel` is "X" or "Y".

    Ticks are at 1, 2 and 5 times powers of ten. When the zoom shows too few of these, all ticks are labelled.
    """
    import altair as alt

    ends = f"domain('{channel.lower()}')"
    marked = f"({ends}[1] < 8 * {ends}[0] || indexof([1, 2, 5], {FIRST_DIGIT}) >= 0)"
    grid = {"condition": {"test": marked, "value": 1}, "value": 0}
    axis = alt.Axis(
        tickCount=6, labelExpr=f"{marked} ? format(datum.value, ',~g') : ''", gridOpacity=grid, tickOpacity=grid
    )
    scale = alt.Scale(type="log", domain=logarithmic(values), nice=False)
    return getattr(alt, channel)(f"{field}:Q", title=title, scale=scale, axis=axis)


# ---- looks


def cells(rows: Sequence[Row], markers: Markers, legend: bool = True) -> alt.Chart:
    """A mark for each item of the data "cells". A click in a legend fades the other marks, as the filters do."""
    import altair as alt

    outlined = {"test": "datum.outlined", "value": {"expr": "ink"}}
    bound = [alt.selection_point(name=name, fields=[field], bind="legend") for name, field in LEGENDS.items()]
    lit: list[object] = [{"param": name} for name in LEGENDS] if legend else []
    opacity = alt.OpacityValue(0.08, condition={"test": {"and": [*lit, SHOWN]}, "value": 1})
    chart = alt.Chart(alt.NamedData("cells"), name="marks").mark_point(clip=True)
    return chart.add_params(*(bound if legend else [])).encode(
        fill=colour("Fill", rows, markers, legend),
        stroke=colour("Stroke", rows, markers, legend, condition=outlined),
        shape=shape(rows, markers, legend),
        fillOpacity=by_state("FillOpacity", rows, "fill", legend),
        strokeWidth=by_state("StrokeWidth", rows, "width", legend),
        strokeDash=by_state("StrokeDash", rows, "dash", legend),
        opacity=opacity,
    )


def colour(channel: str, rows: Sequence[Row], markers: Markers, legend: bool = False, **more: Any) -> Any:
    """Colour by precision; `channel` is "Fill" or "Stroke". The page's script sets the colours, light or dark."""
    import altair as alt

    shown = legend_of(legend, present(markers.precisions, map(precision_of, rows)), symbolType="circle")
    return getattr(alt, channel)(
        "precision:N", title="precision", scale=alt.Scale(domain=list(markers.precisions)),
        legend=shown, **more,
    )  # fmt: skip


def shape(rows: Sequence[Row], markers: Markers, legend: bool = False) -> alt.Shape:
    """Shape by engine."""
    import altair as alt

    scale = alt.Scale(domain=list(markers.engines), range=list(SHAPES))
    names = present(markers.engines, (row.engine for row in rows))
    shown = legend_of(legend, names, symbolFillColor=alt.ExprRef("soft"))
    return alt.Shape("engine:N", title="engine", scale=scale, legend=shown)


def by_state(channel: str, rows: Sequence[Row], field: str, legend: bool = False) -> Any:
    """Appearance by a row's State: VALID or not, stock export or not. `channel` shows the State's `field`."""
    import altair as alt

    names = [state.name for state in STATES]
    values = [
        list(value) if isinstance(value, tuple) else value for value in (getattr(state, field) for state in STATES)
    ]
    scale = alt.Scale(type="ordinal", domain=names, range=values)
    # A legend cannot show a fill's opacity, so it shows colours instead.
    fills = " : ".join(f"datum.value == '{state.name}' ? {legend_fill(state)}" for state in STATES) + " : soft"
    shown = legend_of(
        legend, present(names, map(state_of, rows)), symbolType="circle", symbolFillColor=alt.ExprRef(fills),
        symbolStrokeColor=alt.ExprRef("soft"),
    )  # fmt: skip
    return getattr(alt, channel)("state:O", title="verdict", scale=scale, legend=shown)


def legend_fill(state: State) -> str:
    """The colour of a state in the legend, as an expression."""
    return "soft" if state.fill > 0.5 else "rule" if state.fill else "'transparent'"


def size(among: Sequence[Row]) -> alt.Size:
    """Area by the artifact's bytes. The scale is logarithmic, because sizes can differ by a factor of a thousand."""
    import altair as alt

    bytes_of = [size_of(row, among) for row in among]
    domain = [min(bytes_of), max(max(bytes_of), min(bytes_of) + 1)]
    return alt.Size("bytes:Q", scale=alt.Scale(type="log", domain=domain, range=list(AREAS)), legend=None)


def shown() -> alt.OpacityValue:
    """Opacity that fades rows hidden by the page's filters."""
    import altair as alt

    return alt.OpacityValue(0.08, condition={"test": SHOWN, "value": 1})


def ink() -> alt.ColorValue:
    import altair as alt

    return alt.ColorValue(alt.ExprRef("ink"))


def present(names: Iterable[str], found: Iterable[str]) -> list[str]:
    some = set(found)
    return [name for name in names if name in some]


def legend_of(wanted: bool, names: list[str], **more: Any) -> alt.Legend | None:
    """A legend with as many columns as fit into the chart's width; None if not `wanted`."""
    import altair as alt

    if not wanted:
        return None
    column = 36 + 7 * min(max(map(len, names), default=0), LEGEND_LETTERS)  # pixels
    return alt.Legend(values=names, columns=alt.ExprRef(f"max(1, floor({LEGEND_WIDTH} / {column}))"), **more)


def finished(layers: Sequence[alt.Chart], data: dict[str, list[Data]], height: int, fit: bool = False) -> Data:
    """Combine layers into one chart that is as wide as its place on the page.

    Args:
        layers: the first one needs a name, and gets the zoom.
        data: name of a data set, as used in the layers -> its rows.
        height: of the plot, in pixels; with `fit`, of the whole chart with its axes.
    """
    import altair as alt

    zoom = alt.selection_interval(name="view", bind="scales", zoom=ZOOM)
    chart = alt.layer(layers[0].add_params(zoom), *layers[1:]).properties(width="container", height=height)
    chart = chart.add_params(*(alt.param(name=name, value=value) for name, value in PAGE_PARAMS.items()))
    if fit:
        chart = chart.properties(autosize=alt.AutoSizeParams(type="fit", contains="padding"))
    return {**chart.to_dict(), "datasets": data}
