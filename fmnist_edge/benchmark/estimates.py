"""Estimate a p50 and a ratio of two p50s from the rounds of a run, each with a bootstrap interval.

Both estimates are medians over the rounds. A ratio is paired: each round divides the p50 of one cell by that of the
other cell in the same round. Noise that lasts longer than a round then falls on both and cancels.

A quiet window is one in which the host stole no time and other programs hardly interrupted the process. Where at least
half of the rounds, and five, have quiet windows of both cells, the p50s are of these; otherwise of all windows. A round
in which less than a quarter of the time was quiet counts as having none. The file keeps every
sample, and the summary the p50 of all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from fmnist_edge.benchmark.results import Cell, Series
from fmnist_edge.benchmark.series import merged, nearest_rank

__all__ = [
    "LEAST_ROUNDS",
    "Estimate",
    "Rounds",
    "estimate",
    "interval",
    "p50s",
    "p50s_of",
    "quiet_windows",
    "ratio",
    "student_t",
]

CONFIDENCE = 0.95
REPLICATES = 2000
LEAST_ROUNDS = 5  # with fewer, no interval of 95 % exists for a median
# A quiet window has at most these shares: no tick of the kernel's steal clock, and so few interruptions that they
# cannot reach the median.
QUIET_STEAL = 0.02  # of one core
QUIET_SWITCHES_PER_S = 10.0
QUIET_SHARE = 0.25  # of a round's time; a short rest of a window is quiet by chance
QUIET_ROUNDS = 0.5  # of the rounds

# Of one cell: round number -> (p50 of all windows, p50 of its quiet windows or None), in µs.
Rounds = dict[int, tuple[float, "float | None"]]


@dataclass(frozen=True)
class Estimate:
    """A median over rounds, with its 95 % interval.

    Attributes:
        value, lower, upper: µs for a p50; a ratio has no unit.
        rounds: number of rounds that it is of.
        windows: "quiet" or "all".
    """

    value: float
    lower: float
    upper: float
    rounds: int
    windows: str

    @property
    def half_width(self) -> float:
        """The larger distance from the value to an end of the interval, as a share of the value.

        >>> round(Estimate(100, 98, 101, 9, "all").half_width, 6)
        0.02
        """
        return max(self.upper / self.value - 1, 1 - self.lower / self.value) if self.value > 0 else math.inf


def quiet_windows(series: Series) -> list[bool] | None:
    """For each window whether it was quiet; None when the file or the machine does not tell."""
    if series["noise"] is None:
        return None
    found = []
    for elapsed_ns, switches, steal_ns in series["noise"]:
        seconds = (elapsed_ns or 0) / 1e9
        found.append(
            (steal_ns or 0) / 1e9 <= QUIET_STEAL * seconds and (switches or 0) <= QUIET_SWITCHES_PER_S * seconds
        )
    return found


def p50s_of(cell: Cell, name: str = "engine") -> Rounds:
    """The p50s of each round of the series `name`, "engine" or "end_to_end"."""
    found: Rounds = {}
    for part in cell["rounds"]:
        found[part["round"]] = p50s(part[name])  # type: ignore[literal-required]
    return found


def p50s(series: Series) -> tuple[float, float | None]:
    """p50 in µs of all windows, and of the quiet ones; None when too few were quiet."""
    quiet = quiet_windows(series) or []
    calm = [window for window, is_quiet in zip(series["windows"], quiet) if is_quiet]
    times = [entry[0] or 0 for entry in series["noise"] or []]
    share = sum(time for time, is_quiet in zip(times, quiet) if is_quiet) / max(sum(times), 1)
    return p50_us(series["windows"]), p50_us(calm) if share >= QUIET_SHARE else None


def p50_us(windows: Sequence[Sequence[Sequence[int]]]) -> float:
    return nearest_rank(*merged(windows), 50) / 1000


def estimate(rounds: Rounds) -> Estimate | None:
    """The p50 of a cell, in µs: the median over its rounds. None below LEAST_ROUNDS."""
    return paired(rounds, dict.fromkeys(rounds, (1.0, 1.0)))


def ratio(a: Rounds, b: Rounds) -> Estimate | None:
    """a's p50 divided by b's, over the rounds that both have. None below LEAST_ROUNDS.

    >>> ratio({i: (20.0, None) for i in range(5)}, {i: (10.0, None) for i in range(5)})
    Estimate(value=2.0, lower=2.0, upper=2.0, rounds=5, windows='all')
    """
    return paired(a, b)


def paired(a: Rounds, b: Rounds) -> Estimate | None:
    both = sorted(a.keys() & b.keys())
    quiet = [(a[number][1], b[number][1]) for number in both if a[number][1] and b[number][1]]
    kind, pairs = (
        ("quiet", quiet)
        if len(quiet) >= max(LEAST_ROUNDS, QUIET_ROUNDS * len(both))
        else ("all", [(a[n][0], b[n][0]) for n in both])
    )
    values = [x / y for x, y in pairs if x and y]
    if len(values) < max(LEAST_ROUNDS, len(pairs)):
        return None
    middle, lower, upper = interval(values)
    return Estimate(middle, lower, upper, len(values), kind)


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """(median, lower, upper) of positive values, by a percentile bootstrap that is widened for small samples.

    The widened level is that of Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 4.3: the
    plain percentile interval of few values is too narrow by √((n-1)/n) and by the normal distribution in place of
    Student's t. The same values give the same interval.
    """
    logs = np.log(np.asarray(values, float))
    medians = np.median(logs[resamples(len(logs), seed)], axis=1)
    tail = tail_for(len(logs))
    lower, upper = np.quantile(medians, [tail, 1 - tail])
    middle, low, high = (float(f"{math.exp(value):.12g}") for value in (np.median(logs), lower, upper))
    return middle, low, high  # rounded, because exp(log(x)) is not x to the last bit


@lru_cache(maxsize=64)
def resamples(count: int, seed: int) -> np.ndarray:
    """(REPLICATES, count): indices drawn with replacement."""
    return np.random.default_rng(seed).integers(0, count, (REPLICATES, count))


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
