"""One constant from pairs of (simulated, published) times. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["constant", "leave_one_out", "mean_error"]

Pair = tuple[float, float]  # simulated, published; of the same unit


def constant(pairs: Sequence[Pair]) -> float:
    """What simulated times are to be multiplied by: the geometric mean of the ratios, as errors are factors.

    >>> constant([(1.0, 2.0), (1.0, 8.0)])
    4.0
    """
    return math.exp(sum(math.log(published / simulated) for simulated, published in pairs) / len(pairs))


def leave_one_out(pairs: Sequence[Pair]) -> list[float]:
    """For each pair, what the constant of the others makes of it, as a share off the published time.

    >>> leave_one_out([(1.0, 2.0), (1.0, 4.0)])
    [1.0, -0.5]
    """
    return [
        constant([*pairs[:place], *pairs[place + 1 :]]) * simulated / published - 1
        for place, (simulated, published) in enumerate(pairs)
    ]


def mean_error(errors: Sequence[float]) -> float:
    """
    >>> mean_error([0.1, -0.3])
    0.2
    """
    return sum(map(abs, errors)) / len(errors)
