"""Confidence: the top probability of a prediction, how far an export shifts it, and how well it is calibrated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_edge.errors import InputError
from fmnist_edge.runtime.prediction import softmax

__all__ = ["ConfidenceDrift", "calibration_error", "confidence_drift", "top_probability"]

BINS = 15


@dataclass(frozen=True)
class ConfidenceDrift:
    """How far the confidence shown to users (`Prediction.confidence`) shifts, and its calibration error.

    Attributes:
        mean, p99: mean and 99th percentile over the images of |candidate's - reference's top probability|. Each model
            has its own top class. The percentile interpolates linearly.
        reference_ece, ece: expected calibration error of the reference and the candidate; None without labels.
    """

    mean: float
    p99: float
    reference_ece: float | None
    ece: float | None


def confidence_drift(
    reference: np.ndarray, candidate: np.ndarray, output: str, labels: np.ndarray | None
) -> ConfidenceDrift:
    """Compare the confidences of two models by their scores (n, classes), n >= 1.

    `output`: "logits" or "probabilities"; `labels`: class indices (n,).
    """
    confidences = [top_probability(scores, output) for scores in (reference, candidate)]
    drift = np.abs(confidences[1] - confidences[0])
    errors: list[float | None] = [None, None]
    if labels is not None:
        errors = [
            calibration_error(confidence, scores.argmax(axis=1) == labels)
            for confidence, scores in zip(confidences, (reference, candidate), strict=True)
        ]
    return ConfidenceDrift(float(drift.mean()), float(np.quantile(drift, 0.99)), *errors)


def top_probability(scores: np.ndarray, output: str) -> np.ndarray:
    """The probability of the top class, float64 (n,), from scores (n, classes).

    Raises InputError unless `output` is "logits" or "probabilities".
    """
    if output not in ("logits", "probabilities"):
        raise InputError(f"output is {output!r}; expected 'logits' or 'probabilities'")
    exact = scores.astype(np.float64)
    return (softmax(exact) if output == "logits" else exact).max(axis=1)


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error of the top class (Guo et al. 2017), as a fraction.

    confidence: (n,) in [0, 1]; right: booleans (n,). Sum over 15 equal-width bins ((b-1)/15, b/15] of
    (share of images) * |accuracy - mean confidence|.
    """
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = [abs(right[bins == b].sum() - confidence[bins == b].sum()) for b in range(BINS)]
    return float(sum(gaps) / len(confidence))
