"""Write a model's local response normalisation in the form a target runs best. Numerics stay the same."""

from __future__ import annotations

from typing import Any

from fmnist_edge.errors import InputError

__all__ = ["lower"]


def lower(model: Any, lrn: str) -> Any:
    """`model` with every LRN layer in the form `lrn`: "composed" (the layer's own ops) or "native" (one LRN op).

    The weights are shared by value; a model without LRN comes back as it is.
    """
    if lrn == "composed":
        return model
    if lrn != "native":
        raise InputError(f"unknown LRN lowering {lrn!r}; expected 'composed' or 'native'")
    import keras

    from fmnist_edge.models.layers import LocalResponseNormalization

    if not any(isinstance(layer, LocalResponseNormalization) for layer in model.layers):
        return model
    native = native_layer_class()

    def replace(layer: Any) -> Any:
        chosen: Any = native if isinstance(layer, LocalResponseNormalization) else type(layer)
        return chosen.from_config(layer.get_config())

    lowered = keras.models.clone_model(model, clone_function=replace)
    lowered.set_weights(model.get_weights())
    return lowered


def native_layer_class() -> type:
    """LocalResponseNormalization computed by TensorFlow's own kernel, which converts to a single op."""
    import tensorflow as tf

    from fmnist_edge.models.layers import LocalResponseNormalization

    class NativeLRN(LocalResponseNormalization):
        def call(self, x):
            return tf.nn.local_response_normalization(x, self.radius, self.bias, self.alpha, self.beta)

    return NativeLRN
