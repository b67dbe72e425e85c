"""The appearance of a cell in all charts: precision sets the colour, engine the shape, state the outline and fill."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fmnist_edge.benchmark.validity import INVALID, VALID
from fmnist_edge.catalog.precisions import PRECISIONS
from fmnist_edge.report.ratios import is_stock, precision_of_ours
from fmnist_edge.report.runs import Row
from fmnist_edge.runtime.engine_catalog import ENGINES

__all__ = ["SHAPES", "STATES", "UNKNOWN_PRECISION", "Markers", "State", "precision_of", "state_of"]

UNKNOWN_PRECISION = "precision not known"
# Vega's own symbols, then paths in the square from -1 to 1. More engines than shapes: the shapes repeat.
SHAPES = (
    "circle", "square", "triangle-up", "triangle-down", "diamond", "cross", "triangle-right", "triangle-left",
    "M0,-1L.25,-.35L.95,-.31L.4,.13L.59,.81L0,.43L-.59,.81L-.4,.13L-.95,-.31L-.25,-.35Z",  # star
    "M0,-1L.87,-.5L.87,.5L0,1L-.87,.5L-.87,-.5Z",  # hexagon
    "M-.9,-.5L-.5,-.9L0,-.4L.5,-.9L.9,-.5L.4,0L.9,.5L.5,.9L0,.4L-.5,.9L-.9,.5L-.4,0Z",  # x
    "M-.9,-.9L.9,.9L.9,-.9L-.9,.9Z",  # bow tie
    "M0,-1L.95,-.31L.59,.81L-.59,.81L-.95,-.31Z",  # pentagon
)  # fmt: skip


@dataclass(frozen=True)
class State:
    """Whether a cell is VALID and whether it is a stock export, and how a chart shows that.

    Attributes:
        fill: opacity of a mark's inside.
        width: width of a mark's outline, in pixels.
        dash: dash pattern of a mark's outline: pixels drawn and pixels skipped, in turn.
        line_dash: dash pattern of a line.
    """

    name: str
    fill: float
    width: float
    dash: tuple[float, ...]
    line_dash: tuple[float, ...]


STATES = (
    State(VALID, 0.85, 1, (1, 0), (1, 0)),
    State(INVALID, 0.25, 1.4, (2.5, 2), (2, 2.5)),
    State(f"stock, {VALID}", 0, 2.2, (1, 0), (7, 3)),
    State(f"stock, {INVALID}", 0, 2.2, (2.5, 2), (7, 3, 1.5, 3)),
)


def state_of(row: Row) -> str:
    return f"stock, {row.validity}" if is_stock(row) else row.validity


def precision_of(row: Row) -> str:
    """The precision that sets the colour. A stock export has the colour of the export that it is compared with."""
    return precision_of_ours(row) or UNKNOWN_PRECISION


@dataclass(frozen=True)
class Markers:
    """The precisions and engines of a page in a fixed order, so that each looks the same in every chart."""

    precisions: Sequence[str]
    engines: Sequence[str]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Markers:
        """Known names in the order of the catalog, then the others in the order of the rows."""
        precisions = in_order((item.name for item in PRECISIONS), map(precision_of, rows))
        return cls(precisions, in_order(list(ENGINES), (row.engine for row in rows)))


def in_order(known: Iterable[str], found: Iterable[str]) -> list[str]:
    names = dict.fromkeys(found)
    return [name for name in dict.fromkeys([*known, *names]) if name in names]
