"""How well scores rank images: the area under the ROC curve, and the average precision."""

from __future__ import annotations

import numpy as np

__all__ = ["average_precision", "roc_auc"]


def roc_auc(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """The area under the ROC curve: the probability that a positive image scores higher than a negative one.

    Ties count half (Hanley and McNeil, Radiology 143 (1982) 29-36: the Mann-Whitney U, divided by the number of pairs).

    Args:
        scores: float (n,); labels: bool (n,). None without images of both classes.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    middle_ranks = np.cumsum(sizes) - (sizes - 1) / 2  # equal scores share the mean of their ranks
    wins = middle_ranks[group][labels].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * negatives))


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """The mean of the precision over the steps of the recall: sum over thresholds of (R_n - R_(n-1)) P_n.

    Without interpolation, as in scikit-learn (Manning, Raghavan and Schütze, Introduction to Information Retrieval,
    2008, section 8.4). Images with equal scores are one step.

    Args:
        scores: float (n,); labels: bool (n,). None without a positive image.
    """
    positives = int(labels.sum())
    if not positives:
        return None
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # the last of each group of equal scores
    found = np.cumsum(labels[order])[ends]
    precision, steps = found / (ends + 1), np.diff(found, prepend=0) / positives
    return float((precision * steps).sum())
