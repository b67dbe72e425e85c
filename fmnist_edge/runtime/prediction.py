"""Prediction: the answer of a classifier for one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_edge.errors import InputError

__all__ = ["Prediction", "softmax"]


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        label: name of the most likely class; None where the classifier abstains, because the answer is unknown.
        index, confidence: index and probability of the most likely class.
        probabilities: of all classes, float32 (classes,).
        latency_ns: nanoseconds from image to probabilities. For a batch it is the time of the whole call.
    """

    label: str | None
    index: int
    confidence: float
    probabilities: np.ndarray
    latency_ns: int

    def top_k(self, k: int = 3) -> list[int]:
        """Indices of the `k` most likely classes, the most likely first. Returns all classes if there are fewer.

        Raises InputError for a `k` below 1.

        >>> Prediction("Bag", 1, 0.7, np.array([0.1, 0.7, 0.2], np.float32), 0).top_k(2)
        [1, 2]
        """
        if k < 1:
            raise InputError(f"k is {k}; expected at least 1")
        return [int(index) for index in np.argsort(-self.probabilities, kind="stable")[:k]]


def softmax(logits: np.ndarray) -> np.ndarray:
    """float32 (n, classes) -> rows that sum to 1. Each row is shifted by its maximum, so nothing overflows."""
    powers = np.exp(logits - np.maximum.reduce(logits, axis=1, keepdims=True))
    powers /= np.add.reduce(powers, axis=1, keepdims=True)
    return powers
