"""Hold the scores of an exported float file against those of its Keras model, before the file is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ExportError
from fmnist_edge.export.exporter import batches
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


def check_answers(golden: Golden, model: keras.Model, contract: Contract, precision: Precision) -> None:
    """Raises ExportError when a file in float gives other scores than the Keras model.

    Files with integers differ by their quantisation, which `fmnist-edge check` judges; they are not compared.

    Args:
        golden: the file's golden vectors: images and the file's scores.
        model: the Keras model that was exported, before it was lowered.
    """
    limit = LIMITS.get(precision.kind)
    if limit is None:
        return
    images = contract.preprocessing.apply(golden.images, contract.input_shape)
    expected = keras_scores(model, images).reshape(golden.scores.shape)
    largest, difference = np.abs(expected).max(), np.abs(golden.scores - expected).max()
    if not difference <= limit * largest:  # NaN is refused too
        raise ExportError(
            f"the {precision.format} {precision.name} file gives other scores than the Keras model: {difference:.2g} "
            f"apart, expected at most {limit * largest:.2g}; {REASONS[precision.kind]}"
        )


def keras_scores(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """float32 (n, classes), in batches of the size that the model has, all at once if it is open."""
    size = model.input_shape[0] or len(images)
    scores = [np.asarray(model(batch, training=False)) for batch in batches(images, size)]
    return np.concatenate(scores)[: len(images)]
