"""Estimate a p50 and a ratio of two p50s from the rounds of a run, each with a bootstrap interval.

Programs and virtual machines that share the CPU only ever make a call slower, and what they do, such as using the other
hardware thread of a core, is often in no counter of this machine. So the estimate is the calm p50: that of the windows,
a quarter of a second each, in which the machine was at its calmest. A tenth of the calls fall into windows whose p50 is
at or below it. The idea of an estimator that noise from outside can hardly move, because that noise is never negative,
is from Chen and Revels 2016, "Robust benchmarking in noisy environments". They take the minimum of all samples; a tenth
of the windows moves less from run to run.

A bootstrap draws whole rounds, because windows of one process are alike. If few rounds had calm windows, some draws
have none, and the interval is wide. A ratio is paired: each draw takes the same rounds of the run for both cells. The
file keeps every sample, and the summary the p50 of all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from fmnist_edge.benchmark.results import Cell, Round, Series
from fmnist_edge.benchmark.series import decode, nearest_rank

__all__ = [
    "LEAST_ROUNDS",
    "Estimate",
    "Rounds",
    "calm_p50",
    "estimate",
    "p50s",
    "p50s_of",
    "ratio",
    "ratio_of_runs",
    "rounds_of",
    "student_t",
]

CONFIDENCE = 0.95
REPLICATES = 2000
LEAST_ROUNDS = 5  # with fewer, a bootstrap over rounds says little
CALM = 0.10  # of the calls

# Of one cell: round number -> (p50 in µs, number of calls) of each window.
Windows = list[tuple[float, int]]
Rounds = dict[int, Windows]


@dataclass(frozen=True)
class Estimate:
    """A calm p50, or a ratio of two, with its 95 % interval.

    Attributes:
        value, lower, upper: µs for a p50; a ratio has no unit.
        rounds: number of rounds that it is of.
    """

    value: float
    lower: float
    upper: float
    rounds: int

    @property
    def half_width(self) -> float:
        """The larger distance from the value to an end of the interval, as a share of the value.

        >>> round(Estimate(100, 98, 101, 9).half_width, 6)
        0.02
        """
        return max(self.upper / self.value - 1, 1 - self.lower / self.value) if self.value > 0 else math.inf


def p50s_of(cell: Cell, name: str = "engine") -> Rounds:
    """The p50s of each round of the series `name`, "engine" or "end_to_end"."""
    return rounds_of(cell["rounds"], name)


def rounds_of(rounds: Sequence[Round], name: str) -> Rounds:
    return {part["round"]: p50s(part[name]) for part in rounds}  # type: ignore[literal-required]


def p50s(series: Series) -> Windows:
    """(p50 in µs, number of calls) of each window."""
    windows = map(decode, series["windows"])
    return [(nearest_rank(values, counts, 50) / 1000, int(counts.sum())) for values, counts in windows if len(counts)]


def estimate(rounds: Rounds) -> Estimate | None:
    """The calm p50 of a cell, in µs. None below LEAST_ROUNDS, or where a call takes less than a nanosecond.

    >>> estimate({number: [(20.0, 100), (10.0, 200)] for number in range(5)})
    Estimate(value=10.0, lower=10.0, upper=10.0, rounds=5)
    """
    value = calm_p50(rounds) if len(rounds) >= LEAST_ROUNDS else 0
    return interval(value, replicates(rounds), len(rounds)) if value else None


def ratio(a: Rounds, b: Rounds) -> Estimate | None:
    """a's calm p50 divided by b's, of one run. None below LEAST_ROUNDS that both have.

    A draw of the bootstrap takes rounds of the run, and of each cell those that it has: a cell that was known sooner
    has fewer.

    >>> ratio({i: [(20.0, 1)] for i in range(5)}, {i: [(10.0, 1)] for i in range(5)})
    Estimate(value=2.0, lower=2.0, upper=2.0, rounds=5)
    """
    if len(a.keys() & b.keys()) < LEAST_ROUNDS:
        return None
    a_us, b_us = calm_p50(a), calm_p50(b)
    if not a_us or not b_us:
        return None
    every = sorted(a.keys() | b.keys())
    times = drawn(len(every), 0)
    above, below = (times[:, [every.index(number) for number in side]] for side in (a, b))
    both = (above.sum(axis=1) > 0) & (below.sum(axis=1) > 0)
    draws = calm(a, above[both]) / calm(b, below[both])
    return interval(a_us / b_us, draws, min(len(a), len(b)))


def ratio_of_runs(a: Rounds, b: Rounds) -> Estimate:
    """a's calm p50 divided by b's, of two runs: the rounds of each are drawn on their own, however few they are."""
    value = calm_p50(a) / calm_p50(b)
    return interval(value, replicates(a) / replicates(b, seed=1), min(len(a), len(b)))


def calm_p50(rounds: Rounds) -> float:
    """The p50 in µs that CALM of the calls do not exceed, each call taken as the p50 of its window."""
    return float(calm(rounds, np.ones((1, len(rounds)), int))[0])


def replicates(rounds: Rounds, seed: int = 0) -> np.ndarray:
    """(REPLICATES,): the calm p50 of rounds drawn with replacement, in µs. The same number of rounds and the same seed
    draw the same rounds."""
    return calm(rounds, drawn(len(rounds), seed))


def calm(rounds: Rounds, times: np.ndarray) -> np.ndarray:
    """(draws,): the calm p50 of each draw, in µs. `times`: (draws, rounds), how often each draw has each round."""
    windows = sorted((p50, calls, place) for place, part in enumerate(rounds.values()) for p50, calls in part)
    p50s, calls, places = (np.array(column) for column in zip(*windows))
    reached = np.cumsum(times[:, places] * calls, axis=1)
    return p50s[(reached < CALM * reached[:, -1:]).sum(axis=1)]


def interval(value: float, draws: np.ndarray, count: int) -> Estimate:
    """The percentile interval of a bootstrap over `count` rounds, widened for few rounds.

    The widened level is that of Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 4.3: the
    plain percentile interval of few values is too narrow by √((n-1)/n) and by the normal distribution in place of
    Student's t.
    """
    tail = tail_for(count) if count > 1 else 0
    lower, upper = np.quantile(draws, [tail, 1 - tail])
    return Estimate(value, min(float(lower), value), max(float(upper), value), count)


@lru_cache(maxsize=64)
def drawn(count: int, seed: int) -> np.ndarray:
    """(REPLICATES, count): how often each of `count` rounds is drawn, with replacement."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), REPLICATES)


def tail_for(count: int) -> float:
    """The share of replicates beyond each end of a 95 % interval of `count` values.

    >>> round(tail_for(5), 4), round(tail_for(1000), 3)
    (0.001, 0.025)
    """
    return NormalDist().cdf(-math.sqrt(count / (count - 1)) * student_t(count - 1))


def student_t(df: int) -> float:
    """Student's t for 95 %, two-sided: Abramowitz and Stegun 26.7.5, good to 3 % at 2 degrees of freedom, 0.3 % at 4.

    >>> round(student_t(4), 2), round(student_t(100), 3)
    (2.77, 1.984)
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    t = z + (z**3 + z) / (4 * df) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)
    return t + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * df**3)
