"""Find out whether answers are right in another order of the labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fmnist_edge.parity.reference import interval

__all__ = ["label_order"]

SHOWN = 6  # labels that a message names


def label_order(answers: np.ndarray, labels: np.ndarray, names: Sequence[str], where: str) -> str | None:
    """One line if another order of the labels makes so many more answers right that chance does not explain it.

    Every answer may stand for another class; the best assignment is found (Kuhn 1955). Its 95 % interval must lie above
    that of the answers as they are, and above half-way from these to all images right, because the best of many orders
    is better than it should be on few images.

    Args:
        answers, labels: class indices (n,).
        names: of the classes.
        where: the name of the images.
    """
    from scipy.optimize import linear_sum_assignment

    count, images = len(names), len(labels)
    confusion = np.zeros((count, count), int)
    np.add.at(confusion, (labels, answers), 1)
    given, found = linear_sum_assignment(confusion, maximize=True)
    right, best = int(np.trace(confusion)), int(confusion[given, found].sum())
    moved = [(a, b) for a, b in zip(given, found, strict=True) if a != b and confusion[a, b]]
    above = max(interval(right, images)[1], (1 + right / images) / 2)
    if not moved or interval(best, images)[0] <= above:
        return None
    pairs = ", ".join(f"{names[b]!r} for {names[a]!r}" for a, b in moved[:SHOWN])
    more = f" and {len(moved) - SHOWN} more" if len(moved) > SHOWN else ""
    return (
        f"the labels are in another order than in training, as it seems: the Keras model gets {right / images:.2%} of "
        f"{images:,} images ({where}) right, and {best / images:.2%} if it says {pairs}{more}; export it with --labels "
        "in the order of training"
    )
