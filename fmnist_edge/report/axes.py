"""Axes of a chart: where a value is drawn, and which values get a mark."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Axis", "linear", "logarithmic"]

LEAST = 1e-3  # on a logarithmic axis: a nanosecond, in µs


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` on coordinates from `start` to `end`, of which `end` may be the lesser."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (scale(self.log, item) for item in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def scale(log: bool, value: float) -> float:
    return math.log10(max(value, LEAST)) if log else value


def linear(values: Iterable[float], start: float, end: float, least: float) -> Axis:
    """With a margin of 8 % around the values; `least` is the shortest stretch that is worth an axis."""
    known = list(values)
    low, high = min(known), max(known)
    margin = max(0.08 * (high - low), (least - (high - low)) / 2, least / 10)
    return Axis(low - margin, high + margin, start, end, round_values(low - margin, high + margin))


def logarithmic(values: Iterable[float], start: float, end: float) -> Axis:
    """With a margin of a quarter of the least and of the greatest value."""
    known = [max(value, LEAST) for value in values]
    low, high = max(min(known) / 1.25, LEAST), max(known) * 1.25
    return Axis(low, high, start, end, powers(low, high), log=True)


def round_values(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """About `count` values in steps of 1, 2 or 5 times a power of ten.

    >>> round_values(93.2, 95.3)
    (93.5, 94.0, 94.5, 95.0)
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return tuple(round(place * step, 9) for place in range(math.ceil(low / step), math.floor(high / step) + 1))


def powers(low: float, high: float) -> tuple[float, ...]:
    """1, 2 and 5 times powers of ten; the powers alone where the values span many of them, and even steps where they
    span none.

    >>> powers(8, 220), powers(5.6, 8.8)
    ((10.0, 20.0, 50.0, 100.0, 200.0), (6.0, 7.0, 8.0))
    """
    factors = (1,) if high / low > 300 else (1, 2, 5)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [factor * 10.0**exponent for exponent in exponents for factor in factors]
    inside = tuple(mark for mark in marks if low <= mark <= high)
    return inside if len(inside) >= 2 else round_values(low, high)
