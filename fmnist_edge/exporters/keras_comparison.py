"""Hold the scores of an exported float file against those of its Keras model, before the file is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.exporter import batches
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.golden import Golden

if TYPE_CHECKING:
    import keras

__all__ = ["check_answers"]

# Largest difference of a score, relative to the largest score, by kind of number. Rounding stays far below: the limits
# are there to find wrong answers.
LIMITS = {"float": 2e-3, "half": 0.1}
REASONS = {
    "float": "the conversion is wrong, so the file is not kept; try another format",
    "half": "float16 is too coarse for this model, or the conversion is wrong, so the file is not kept; choose float32",
}


def check_answers(
    golden: Golden, model: keras.Model, contract: Contract, precision: Precision, batch: int | None = None
) -> list[str]:
    """Raises ExportError when a file in float gives other scores than the Keras model; returns warnings.

    Files with integers differ by their quantisation, which `fmnist-edge check` judges. There is a warning if their
    answer does not depend on the image, and the Keras model's does.

    Args:
        golden: the file's golden vectors: images and the file's scores.
        model: the Keras model that was exported, before it was lowered.
        batch: images per call of the file; None for any number.
    """
    limit = LIMITS.get(precision.kind)
    images = contract.preprocessing.apply(golden.images, contract.input_shape)
    fixed = model.inputs[0].shape[0]
    if limit is None:
        return constant_answers(golden, keras_scores(model, images, golden.scores, fixed or len(images)), precision)
    difference, largest = difference_at(model, images, golden.scores, fixed or len(images))
    if not difference <= limit * largest and batch and not fixed:  # NaN too
        # Most models treat each image by itself, and answer fastest at once. One that does not, such as a flip of the
        # batch, answers as its file does only in batches of the same size.
        difference, largest = difference_at(model, images, golden.scores, batch)
    if difference == np.inf:
        raise ExportError(
            f"Keras gives {len(images)} images no row of scores each, neither at once nor in batches of "
            f"{batch or len(images)}, so the {precision.format} {precision.name} file cannot be checked; change the "
            "model's outputs"
        )
    if not difference <= limit * largest:
        raise ExportError(
            f"the {precision.format} {precision.name} file gives other scores than the Keras model: {difference:.2g} "
            f"apart, expected at most {limit * largest:.2g}; {REASONS[precision.kind]}"
        )
    return []


def constant_answers(golden: Golden, expected: np.ndarray | None, precision: Precision) -> list[str]:
    """A warning if the file has the same scores for images that Keras puts into several classes."""
    if expected is None or expected.shape[-1] < 2 or len(np.unique(expected.argmax(axis=-1))) < 2:
        return []
    if not (golden.scores == golden.scores[0]).all():
        return []
    keep = ", or keep layers in float: `fmnist-edge explain` finds them" if precision.selective else ""
    return [
        f"the {precision.format} {precision.name} file gives the same scores for every golden image, and the Keras "
        f"model does not: its values are too small or too far apart for integers; choose float32 or dynamic_int8{keep}"
    ]


def difference_at(model: keras.Model, images: np.ndarray, scores: np.ndarray, size: int) -> tuple[float, float]:
    """The largest difference of a score and the largest score of Keras, in batches of `size` images.

    The difference is infinite if Keras cannot compute such a batch, or gives another number of scores.
    """
    expected = keras_scores(model, images, scores, size)
    if expected is None:
        return np.inf, 0.0
    return float(np.abs(scores - expected).max()), float(np.abs(expected).max())


def keras_scores(model: keras.Model, images: np.ndarray, scores: np.ndarray, size: int) -> np.ndarray | None:
    """Keras's scores in the shape of the file's, in batches of `size` images; None if it does not give as many."""
    try:
        expected = np.concatenate([np.asarray(model(batch, training=False)) for (batch,) in batches(images, size)])
    except Exception:  # Keras layers raise anything
        return None
    if expected.size < scores.size:
        return None
    return expected.reshape(-1, *scores.shape[1:])[: len(scores)]
