"""Format estimates with their 95 % intervals, and say what a ratio divides by what."""

from __future__ import annotations

import math

from fmnist_edge.report.ratios import Claim
from fmnist_edge.report.runs import Row

__all__ = ["claim_text", "claim_value", "latency_interval", "row_interval", "tenths", "with_interval"]


def tenths(value: float) -> str:
    """One decimal place; none from 10,000 on.

    >>> tenths(9999.94), tenths(10_000.4)
    ('9,999.9', '10,000')
    """
    return f"{value:,.1f}" if value < 10_000 else f"{value:,.0f}"


class Interval(float):
    """A ratio that sorts as its value, with the ends of its interval; nan where there is none."""

    lower = upper = math.nan


def claim_value(claim: Claim | None) -> Interval | None:
    if claim is None or claim.value is None:
        return None
    value = Interval(claim.value)
    if claim.estimate is not None:
        value.lower, value.upper = claim.estimate.lower, claim.estimate.upper
    return value


def with_interval(value: Interval) -> str:
    return f"{value:.2f}" if math.isnan(value.lower) else f"{value:.2f} [{value.lower:.2f}, {value.upper:.2f}]"


def claim_text(claim: Claim) -> str:
    """What is divided by what: "stock_int8 ÷ int8, litert"."""
    above, below = claim.above, claim.below
    match claim.kind:
        case "twin":
            return f"{above.model} ÷ {below.model}, {below.precision}, {below.engine}"
        case "engine":
            if above.precision != below.precision:
                return f"{above.engine} {above.precision} ÷ {below.engine} {below.precision}"
            return f"{above.engine} ÷ {below.engine}, {below.precision}"
    return f"{above.precision} ÷ {below.precision}, {below.engine}"


def row_interval(row: Row) -> Interval:
    value = Interval(row.known_us)
    if row.estimate is not None:
        value.lower, value.upper = row.estimate.lower, row.estimate.upper
    return value


def latency_interval(value: Interval) -> str:
    if math.isnan(value.lower):
        return tenths(value)
    return f"{tenths(value)} [{tenths(value.lower)}, {tenths(value.upper)}]"
