"""Models with several inputs or outputs: how converters and calibration see them.

Samples are the preprocessed calibration data: an array float32 (n, *shape), or a tuple of them, one for each input in
the model's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_edge.aliases import Tensor

if TYPE_CHECKING:
    import keras

__all__ = ["Samples", "answers", "converted_names", "has_several", "parts"]

Samples = np.ndarray | tuple[np.ndarray, ...]


def has_several(model: keras.Model) -> bool:
    return len(model.inputs) > 1 or len(model.outputs) > 1


def parts(samples: Samples) -> tuple[np.ndarray, ...]:
    """An array for each input."""
    return samples if isinstance(samples, tuple) else (samples,)


def converted_names(model: keras.Model) -> list[str]:
    """The names of the inputs for a converter. Their alphabetical order, which TensorFlow takes, is the model's."""
    count = len(model.inputs)
    return ["image"] if count == 1 else [f"input_{index:02}" for index in range(count)]


def answers(model: keras.Model, inputs: Sequence[Tensor]) -> list[Any]:
    """The outputs in the model's order, in inference mode, of tensors or arrays in the order of its inputs."""
    import keras

    given = inputs[0] if len(model.inputs) == 1 else keras.tree.pack_sequence_as(model.input, list(inputs))
    return keras.tree.flatten(model(given, training=False))
