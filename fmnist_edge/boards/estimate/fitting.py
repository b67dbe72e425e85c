"""Fit a constant to pairs of (simulated, published) times, and compute its errors."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["constant", "leave_one_out", "mean_error"]

Pair = tuple[float, float]  # simulated, published; in the same unit


def constant(pairs: Sequence[Pair]) -> float:
    """The factor from simulated to published times: the geometric mean of their ratios, because errors are factors.

    >>> constant([(1.0, 2.0), (1.0, 8.0)])
    4.0
    """
    return math.exp(sum(math.log(published / simulated) for simulated, published in pairs) / len(pairs))


def leave_one_out(pairs: Sequence[Pair]) -> list[float]:
    """For each pair, the relative error of the published time that the constant of all other pairs predicts.

    >>> leave_one_out([(1.0, 2.0), (1.0, 4.0)])
    [1.0, -0.5]
    """
    return [
        constant([*pairs[:place], *pairs[place + 1 :]]) * simulated / published - 1
        for place, (simulated, published) in enumerate(pairs)
    ]


def mean_error(errors: Sequence[float]) -> float:
    """Mean absolute error.

    >>> mean_error([0.1, -0.3])
    0.2
    """
    return sum(map(abs, errors)) / len(errors)
