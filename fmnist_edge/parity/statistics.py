"""Statistics of paired predictions: accuracy with its confidence interval, flip rates, confidence drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_edge.parity.confidence import ConfidenceDrift, confidence_drift
from fmnist_edge.parity.paired import PairedAccuracy, paired_accuracy

__all__ = ["Statistics", "flip_rates", "shows_share", "statistics_of"]


@dataclass(frozen=True)
class Statistics:
    """Statistics of two models on the same images.

    Attributes:
        accuracy: the difference in accuracy with interval, test and verdict; None without labels.
        flip_rate: share of images whose top class changed, for better or worse.
        class_flip_rates: the flip rate for each class that the reference predicts; None for a class that it never
            predicts. These rates need no labels.
        confidence: how far the confidence shifted; None for a tensor model, which has none.
    """

    accuracy: PairedAccuracy | None
    flip_rate: float
    class_flip_rates: tuple[float | None, ...]
    confidence: ConfidenceDrift | None


def statistics_of(
    reference: np.ndarray,
    candidate: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    margin: float | None = None,
    output: str = "logits",
) -> Statistics:
    """Statistics of scores (n, classes), n >= 1, of a reference and a candidate; see `compare` for the arguments."""
    answers, new_answers = reference.argmax(axis=1), candidate.argmax(axis=1)
    return Statistics(
        accuracy=None if labels is None else paired_accuracy(answers == labels, new_answers == labels, margin),
        flip_rate=float((answers != new_answers).mean()),
        class_flip_rates=flip_rates(answers, new_answers, reference.shape[1]),
        confidence=confidence_drift(reference, candidate, output, labels),
    )


def flip_rates(answers: np.ndarray, new_answers: np.ndarray, classes: int) -> tuple[float | None, ...]:
    """For each class in `answers`, the share of its images with a different new answer; class indices (n,)."""
    asked = np.bincount(answers, minlength=classes)
    flipped = np.bincount(answers[answers != new_answers], minlength=classes)
    return tuple(float(part / whole) if whole else None for part, whole in zip(flipped, asked, strict=True))


def shows_share(count: int, images: int, share: float) -> bool:
    """Whether `count` of `images` shows that the true share is above `share`: its exact 95 % interval lies above it.

    Clopper and Pearson, Biometrika 26 (1934) 404-413. One image alone shows nothing; it may be a tie.
    """
    from scipy.stats import binomtest

    return count > 1 and bool(binomtest(count, images).proportion_ci(method="exact").low > share)
