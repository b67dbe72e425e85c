"""Charts as SVG that is part of the page: latency against accuracy, by percentile, burst against sustained.

Sizes are in units of the picture, which the page scales; page.css has the larger letters of a narrow screen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from fmnist_edge.report.axes import Axis, linear, logarithmic
from fmnist_edge.report.curve import nines
from fmnist_edge.report.markup import Markup, join, tag
from fmnist_edge.report.runs import Row
from fmnist_edge.report.signs import LEAST_RADIUS, Signs, marker

__all__ = ["percentiles", "scatter", "sustained"]

WIDTH, HEIGHT = 760, 480
LEFT, RIGHT, TOP, BOTTOM = 76, 16, 16, 64
PANEL = (380, 270)  # of one model's percentiles
STRIP = 60  # for cells whose accuracy is not known
GREATEST_RADIUS = 11.0
PERCENTILES = (50, 90, 99, 99.9, 99.99, 99.999)  # with a line in the picture


def scatter(rows: Sequence[Row], signs: Signs) -> Markup:
    """Latency against accuracy, the area of a sign by the artifact's size, the Pareto front as a line and numbered.

    Cells whose accuracy is not known are in a strip below.
    """
    accuracies = [100 * row.accuracy for row in rows if row.accuracy is not None]
    unknown = len(accuracies) < len(rows)
    height = HEIGHT if accuracies else TOP + STRIP + BOTTOM
    floor = height - BOTTOM - (STRIP if unknown else 0)
    x = logarithmic([row.p50_us for row in rows], LEFT, WIDTH - RIGHT)
    y = linear(accuracies, floor, TOP, least=0.5) if accuracies else None
    members = sorted((row for row in rows if row.front), key=lambda row: row.p50_us)
    others = sorted((row for row in rows if not row.front), key=lambda row: -(row.size_bytes or 0))  # small ones on top
    middle = floor + 40

    def sign(row: Row) -> Markup:
        down = middle if y is None or row.accuracy is None else y(100 * row.accuracy)
        title = f"{named(row)}: p50 {row.p50_us:,.1f} µs, {sized(row)}, {accurate(row)}, {row.validity}"
        classes = signs.colour(row) + (" unbeaten" if row.unbeaten else "")
        return marker(signs.shape(row, radius_of(row, rows)), classes, x(row.p50_us), down, row.id, title)

    drawn = [frame(x, height - BOTTOM, TOP, "p50 latency, µs per call")]
    if unknown:
        drawn.append(strip(floor))
    if y is not None:
        drawn.append(side(y, WIDTH, "accuracy, %"))
    drawn += map(sign, others)
    if y is not None:
        drawn += [staircase(members, x, y), *map(sign, members), *numbers(members, x, y)]
    return svg(WIDTH, height, "Latency against accuracy; the table has the same figures", drawn)


def percentiles(rows: Sequence[Row], signs: Signs) -> Markup:
    """Latency by percentile, a line per cell, with the engine's sign at its end."""
    width, height = PANEL
    known = [row for row in rows if row.curve]
    last = max((nines(row.curve[-1][0]) for row in known), default=1.0)
    x = Axis(0, max(last, 1.0), LEFT, width - 2 * RIGHT, ())
    y = logarithmic([value for row in known for _, value in row.curve], height - BOTTOM, TOP)
    marks = [(x(nines(percentile)), f"p{percentile:g}") for percentile in PERCENTILES if nines(percentile) <= x.high]
    drawn = [baseline(marks, height - BOTTOM, TOP, x, "percentile of all samples"), side(y, width, "latency, µs")]
    for row in known:
        points = [(x(nines(percentile)), y(value)) for percentile, value in row.curve]
        path = "M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in points)
        line = tag("path", tag("title", named(row)), d=path, class_=f"line {signs.colour(row)}")
        end = marker(
            signs.shape(row, 4), signs.colour(row), *points[-1], row.id, f"{named(row)}: p50 {row.p50_us:,.1f} µs"
        )
        drawn.append(tag("g", line, end, data_row=row.id))
    return svg(width, height, "Latency by percentile", drawn)


def sustained(rows: Sequence[Row], signs: Signs) -> Markup:
    """How much slower the later half of each round is than its first second. Rows without these are left out."""
    height = 300
    known = [(row, row.sustained_by_burst, row.burst_us) for row in rows]
    points = [(row, share, burst) for row, share, burst in known if share is not None and burst is not None]
    x = logarithmic([burst for _, _, burst in points], LEFT, WIDTH - RIGHT)
    y = linear([1.0, *(share for _, share, _ in points)], height - BOTTOM, TOP, least=0.04)
    even = tag("path", d=f"M{LEFT} {y(1):.1f}H{WIDTH - RIGHT}", class_="even")
    drawn = [frame(x, height - BOTTOM, TOP, "p50 of the first second, µs"), side(y, WIDTH, "sustained ÷ burst"), even]
    for row, share, burst in points:
        title = f"{named(row)}: burst {burst:,.1f} µs, sustained {row.sustained_us:,.1f} µs, {share:.3f} times"
        drawn.append(marker(signs.shape(row, LEAST_RADIUS), signs.colour(row), x(burst), y(share), row.id, title))
    return svg(WIDTH, height, "Sustained against burst latency", drawn)


def svg(width: float, height: float, label: str, drawn: Sequence[Markup]) -> Markup:
    return tag("svg", join(*drawn), viewBox=f"0 0 {width} {height}", role="img", aria_label=label, class_="chart")


def frame(x: Axis, bottom: float, top: float, title: str) -> Markup:
    return baseline([(x(value), f"{value:,.10g}") for value in x.ticks], bottom, top, x, title)


def baseline(marks: Sequence[tuple[float, str]], bottom: float, top: float, x: Axis, title: str) -> Markup:
    """Lines upwards with their values below, and the axis's title."""
    lines = [tag("path", d=f"M{place:.1f} {top:.1f}V{bottom:.1f}", class_="grid") for place, _ in marks]
    texts = [tag("text", text, x=place, y=bottom + 22, class_="x") for place, text in marks]
    return join(*lines, *texts, tag("text", title, x=(x.start + x.end) / 2, y=bottom + 52, class_="x title"))


def side(y: Axis, width: float, title: str) -> Markup:
    """Lines across with their values to the left, and the axis's title along it."""
    lines = [tag("path", d=f"M{LEFT} {y(value):.1f}H{width - RIGHT}", class_="grid") for value in y.ticks]
    texts = [tag("text", f"{value:,.10g}", x=LEFT - 8, y=y(value), class_="y") for value in y.ticks]
    middle = (y.start + y.end) / 2
    return join(
        *lines, *texts, tag("text", title, class_="x title", transform=f"translate(12 {middle:.1f}) rotate(-90)")
    )


def staircase(members: Sequence[Row], x: Axis, y: Axis) -> Markup:
    """The best accuracy that each latency allows."""
    path = ""
    for row in members:
        across, down = x(row.p50_us), y(100 * (row.accuracy or 0))
        path += f"H{across:.1f}V{down:.1f}" if path else f"M{across:.1f} {down:.1f}"
    return tag("path", d=f"{path}H{x.end:.1f}", class_="front") if path else Markup()


def numbers(members: Sequence[Row], x: Axis, y: Axis) -> list[Markup]:
    """The place of each on the front."""
    return [
        tag("text", place, x=x(row.p50_us) - 9, y=y(100 * (row.accuracy or 0)) - 9, class_="number", data_row=row.id)
        for place, row in enumerate(members, 1)
    ]


def strip(floor: float) -> Markup:
    box = tag("path", d=f"M{LEFT} {floor:.1f}H{WIDTH - RIGHT}v{STRIP}H{LEFT}z", class_="strip")
    return join(box, tag("text", "accuracy not known", x=LEFT + 6, y=floor + 20, class_="note"))


def radius_of(row: Row, rows: Sequence[Row]) -> float:
    """By the logarithm: the largest artifact may have a thousand times the bytes of the smallest."""
    sizes = [item.size_bytes for item in rows if item.size_bytes]
    if not row.size_bytes or min(sizes) == max(sizes):
        return LEAST_RADIUS
    share = math.log(row.size_bytes / min(sizes)) / math.log(max(sizes) / min(sizes))
    return LEAST_RADIUS + share * (GREATEST_RADIUS - LEAST_RADIUS)


def named(row: Row) -> str:
    batch = ("" if row.batch == 1 else f", batch {row.batch}") + ("" if row.target == "cpu" else f", {row.target}")
    return f"{row.group} {row.file}, {row.engine}, {row.threads} thread{'s' * (row.threads != 1)}{batch}"


def sized(row: Row) -> str:
    return told(row.size_bytes, lambda size: f"{size / 1000:,.0f} kB", "size not known")


def accurate(row: Row) -> str:
    return told(row.accuracy, lambda share: f"{share:.2%} accurate", "accuracy not known")


def told(value: float | None, write: Callable[[float], str], unknown: str) -> str:
    return unknown if value is None else write(value)
