"""Find the Pareto front: the points that no other point dominates."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["dominates", "front"]


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is less than `b` in at least one coordinate and greater in none."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def front(points: Sequence[Sequence[float]]) -> list[int]:
    """Indices of the points that no other point dominates, in ascending order. Lower is better in every coordinate.
    Equal points are all on the front.

    >>> front([(1, 5), (2, 4), (3, 4), (4, 1)])
    [0, 1, 3]
    """
    return [place for place, point in enumerate(points) if not any(dominates(other, point) for other in points)]
