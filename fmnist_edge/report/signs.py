"""The signs of a chart: a precision's colour, an engine's shape, and a legend of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fmnist_edge.catalog.precisions import PRECISIONS
from fmnist_edge.report.markup import Markup, tag
from fmnist_edge.report.ratios import STOCK
from fmnist_edge.report.runs import Row
from fmnist_edge.runtime.engine_catalog import ENGINES

__all__ = ["LEAST_RADIUS", "Signs", "marker"]

COLOURS = 8  # .c0 to .c7 in page.css
LEAST_RADIUS = 5.0
# (corners, where the first is in degrees, radius of the corners between them, overall radius), of about equal area.
# 0 corners is a circle.
SHAPES = (
    (0, 0, None, 1.0), (4, 45, None, 1.25), (3, -90, None, 1.5), (4, 0, None, 1.25), (3, 90, None, 1.5),
    (5, -90, 0.5, 1.55), (6, 0, None, 1.1), (4, 45, 0.45, 1.7), (5, 90, None, 1.15), (4, 0, 0.45, 1.7),
    (3, -90, 0.35, 1.9), (3, 90, 0.35, 1.9), (6, 0, 0.5, 1.5), (8, 0, 0.6, 1.4), (5, 90, 0.5, 1.55),
)  # fmt: skip


@dataclass(frozen=True)
class Signs:
    """Which colour and which shape, the same in every chart of a page. Beyond 8 and 15 they recur."""

    precisions: Sequence[str]
    engines: Sequence[str]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Signs:
        """Ours in our order, then others in that of the rows. A stock precision has the colour of its counterpart."""
        known = [item.name for item in PRECISIONS]
        precisions = [plain(row.precision) for row in rows]
        engines = [row.engine for row in rows]
        return cls(in_order(known, precisions), in_order(list(ENGINES), engines))

    def colour(self, row: Row) -> str:
        """Classes: the colour, whether it is a stock export, whether it is INVALID."""
        stock = " stock" if (row.precision or "").startswith(STOCK) else ""
        return f"c{self.precisions.index(plain(row.precision)) % COLOURS}{stock}{'' if row.valid else ' invalid'}"

    def shape(self, row: Row, radius: float) -> str:
        return outline(self.engines.index(row.engine), radius)

    def legend(self, rows: Sequence[Row]) -> Markup:
        """Of the signs that are among `rows`."""
        precisions = {plain(row.precision): f"c{self.precisions.index(plain(row.precision)) % COLOURS}" for row in rows}
        engines = {row.engine: self.shape(row, LEAST_RADIUS) for row in rows}
        dot = outline(0, LEAST_RADIUS)
        entries = [entry(name or "precision not known", dot, colour) for name, colour in sorted(precisions.items())]
        entries += [entry(name, shape, "neutral") for name, shape in engines.items()]
        if any((row.precision or "").startswith(STOCK) for row in rows):
            entries.append(entry("stock export", dot, "neutral stock"))
        if not all(row.valid for row in rows):
            entries.append(entry("INVALID", dot, "neutral invalid"))
        return tag("ul", *entries, class_="legend")


def in_order(known: Sequence[str], found: Sequence[str]) -> list[str]:
    return [name for name in dict.fromkeys([*known, *found]) if name in found]


def plain(precision: str | None) -> str:
    return (precision or "").removeprefix(STOCK)


def entry(name: str, shape: str, colour: str) -> Markup:
    sign = tag("svg", tag("path", d=shape, class_=f"dot {colour}"), viewBox="-10 -10 20 20", aria_hidden="true")
    return tag("li", sign, name)


def marker(shape: str, classes: str, x: float, y: float, row: str, title: str) -> Markup:
    """A sign on a chart; `row` is the id of what it shows."""
    dot = tag("path", tag("title", title), d=shape, class_=f"dot {classes}")
    return tag("g", dot, transform=f"translate({x:.1f} {y:.1f})", data_row=row)


def outline(number: int, radius: float) -> str:
    """A path around (0, 0)."""
    corners, turn, between, size = SHAPES[number % len(SHAPES)]
    radius *= size
    if not corners:
        half = f"a{radius:.1f} {radius:.1f} 0 1 0"
        return f"M{-radius:.1f} 0{half} {2 * radius:.1f} 0{half} {-2 * radius:.1f} 0z"
    steps = corners if between is None else 2 * corners
    points = []
    for step in range(steps):
        angle = math.radians(turn + 360 * step / steps)
        reach = radius * (between if between is not None and step % 2 else 1)
        points.append(f"{reach * math.cos(angle):.1f} {reach * math.sin(angle):.1f}")
    return f"M{'L'.join(points)}z"
