"""Figures from a classifier's logits: accuracy, cross-entropy, calibration error, confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.data.fashion_mnist import LABELS, Split
from fmnist_edge.parity.confidence import calibration_error
from fmnist_edge.training.feed import prepare

if TYPE_CHECKING:
    import keras

__all__ = ["evaluate", "metrics"]


def evaluate(model: keras.Model, split: Split) -> JsonObject:
    """`metrics` of a Keras logits model on all images of `split`, and the number of images."""
    logits = np.asarray(model.predict(prepare(split.images), batch_size=500, verbose=0), np.float64)
    return {"images": len(split), **metrics(logits, split.labels)}


def metrics(logits: np.ndarray, labels: np.ndarray) -> JsonObject:
    """Figures of logits (n, classes) and class indices (n,).

    Returns accuracy (fraction), loss (mean cross-entropy, nats), ece (expected calibration error of the top
    class, 15 equal-width bins, Guo et al. 2017), class_accuracy (fraction by class; None for a class without
    images) and confusion (counts; a row per true class, a column per predicted class).
    """
    peak = logits.max(axis=1, keepdims=True)
    log_probabilities = logits - peak - np.log(np.exp(logits - peak).sum(axis=1, keepdims=True))
    answers = logits.argmax(axis=1)
    right = answers == labels
    picked = log_probabilities[np.arange(len(labels)), labels]
    confusion = np.zeros((len(LABELS), len(LABELS)), int)
    np.add.at(confusion, (labels, answers), 1)
    shares = [row[index] / row.sum() if row.sum() else None for index, row in enumerate(confusion)]
    return {
        "accuracy": round(float(right.mean()), 6),
        "loss": round(float(-picked.mean()), 6),
        "ece": round(calibration_error(np.exp(log_probabilities.max(axis=1)), right), 6),
        "class_accuracy": [None if share is None else round(float(share), 4) for share in shares],
        "confusion": confusion.tolist(),
    }
