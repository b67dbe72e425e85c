"""Compute latency by percentile from the raw samples of a cell, as far into the tail as their number allows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from fmnist_edge.benchmark.series import merged
from fmnist_edge.benchmark.summary import SAMPLES_FOR_P99

__all__ = ["Point", "nines", "percentile_curve"]

Point = tuple[float, float]  # (percentile, µs)
STEP = 0.1  # in `nines`: ten points from p0 to p90, ten from p90 to p99, and so on
# Number of samples beyond the last percentile: the same as for the 99th of 662 samples, see `summary`.
BEYOND = SAMPLES_FOR_P99 / 100
MOST_NINES = 6.0


def nines(percentile: float) -> float:
    """The number of nines of a percentile below 100. As the scale of the x axis it spreads the tail.

    >>> round(nines(90), 6), round(nines(99), 6)
    (1.0, 2.0)
    """
    return -math.log10(1 - percentile / 100)


def percentile_curve(windows: Iterable[Sequence[Sequence[int]]]) -> tuple[Point, ...]:
    """Nearest-rank percentiles of all samples, from p0 on; empty when there are no samples.

    Raises FileError when a window is damaged.
    """
    values, counts = merged(windows)
    total = int(counts.sum())
    if not total:
        return ()
    reached = np.cumsum(counts)
    last = min(math.log10(max(total / BEYOND, 1)), MOST_NINES)
    shares = 1 - 10.0 ** -np.arange(0, last + 1e-9, STEP)
    places = np.searchsorted(reached, np.maximum(np.ceil(shares * total - 1e-9), 1))
    found = values[places] / 1000
    return tuple((round(100 * float(share), 6), float(value)) for share, value in zip(shares, found, strict=True))
