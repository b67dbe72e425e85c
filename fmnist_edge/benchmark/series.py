"""Store all latency samples compactly, and compute percentiles of them.

A series is a sequence of windows of about a second, in time order. A window holds its samples as sorted values, with
the count of each. Only the order within a window is lost. This makes a file of raw samples about seven times smaller
than the compressed list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fmnist_edge.errors import FileError

__all__ = ["Window", "count_of", "decode", "encode", "merged", "nearest_rank"]

# ([first value, then differences to the next], [count of each value]), in nanoseconds
Window = tuple[list[int], list[int]]


def encode(samples_ns: Sequence[int] | np.ndarray) -> Window:
    """Encode samples, whole nanoseconds, as one window.

    >>> encode([30, 10, 10, 15])
    ([10, 5, 15], [2, 1, 1])
    """
    values, counts = np.unique(np.asarray(samples_ns, np.int64), return_counts=True)
    return np.diff(values, prepend=np.int64(0)).tolist(), counts.tolist()


def decode(window: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """(sorted values in ns, count of each), int64. Raises FileError when it is no window.

    >>> values, counts = decode(([10, 5, 15], [2, 1, 1]))
    >>> np.repeat(values, counts).tolist()
    [10, 10, 15, 30]
    """
    try:
        steps, counts = (np.asarray(part, np.int64) for part in window)
    except (TypeError, ValueError, OverflowError):
        raise FileError("a window of samples is not two lists of whole numbers; the file is damaged") from None
    if steps.shape != counts.shape or steps.ndim != 1 or (steps[1:] < 1).any() or (counts < 1).any():
        raise FileError("a window of samples is not sorted values with their counts; the file is damaged")
    return np.cumsum(steps), counts


def merged(windows: Iterable[Sequence[Sequence[int]]]) -> tuple[np.ndarray, np.ndarray]:
    """All windows together: (sorted values in ns, count of each), int64; both empty without windows."""
    parts = [decode(window) for window in windows]
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    values, where = np.unique(np.concatenate([values for values, _ in parts]), return_inverse=True)
    counts = np.zeros(len(values), np.int64)
    np.add.at(counts, where, np.concatenate([counts for _, counts in parts]))
    return values, counts


def count_of(windows: Iterable[Sequence[Sequence[int]]]) -> int:
    """Number of samples."""
    return sum(sum(counts) for _, counts in windows)


def nearest_rank(values: np.ndarray, counts: np.ndarray, percent: int) -> int:
    """The smallest sample that at least `percent` % of the samples do not exceed.

    Definition 1 of Hyndman and Fan 1996 ("Sample Quantiles in Statistical Packages"), which NumPy calls
    "inverted_cdf". Computed in whole numbers, so without rounding error.
    """
    reached: Any = np.cumsum(counts)
    rank = -(-percent * int(reached[-1]) // 100)
    return int(values[np.searchsorted(reached, max(rank, 1))])
