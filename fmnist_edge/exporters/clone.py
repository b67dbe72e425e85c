"""Copy a Keras model with some of its layers or weights replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

__all__ = ["Weights", "clone_with", "set_weights"]

Weights = dict[str, list[np.ndarray]]


def clone_with(model: keras.Model, replacements: dict[str, keras.layers.Layer], weights: Weights) -> keras.Model:
    """A copy of `model` with replaced layers and weights, both by layer name; `model` itself without replacements.

    A replaced layer gets weights only if `weights` has them.
    """
    import keras

    if not replacements:
        return model

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        return replacements.get(layer.name) or type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        values = weights.get(layer.name) or ([] if layer.name in replacements else layer.get_weights())
        if values:
            set_weights(copy.get_layer(layer.name), values)
    return copy


def set_weights(layer: keras.layers.Layer, values: list[np.ndarray]) -> None:
    """Set a layer's weights, and what it derives from them: Normalization computes with neither mean nor variance."""
    layer.set_weights(values)
    if hasattr(layer, "finalize_state"):
        layer.finalize_state()
