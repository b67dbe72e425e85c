"""How TensorFlow traces Keras models for the converters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["one_signature", "operation_scopes"]


@contextmanager
def operation_scopes() -> Iterator[None]:
    """Name TensorFlow's ops after the operations that make them, such as `keras.ops.exp`, as they are after layers.

    Keras opens every layer's scope twice, so that names end in a number, see `LayerNames`. So does this.
    """
    import keras
    import tensorflow as tf
    from keras.src.ops.operation import Operation

    before = Operation.__call__

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self, keras.layers.Layer):
            return before(self, *args, **kwargs)
        with tf.name_scope(self.name):
            pass
        with tf.name_scope(self.name):
            return before(self, *args, **kwargs)

    Operation.__call__ = call
    try:
        yield
    finally:
        Operation.__call__ = before


@contextmanager
def one_signature() -> Iterator[None]:
    """Let the converter trace the model with its fixed batch alone.

    Keras gives every model inside it a signature of its own, with an open batch, and TensorFlow traces that too. It
    takes as long again, and fails for a layer that asks for the shape of its input.
    """
    from keras.src.backend.tensorflow.layer import TFLayer

    before = vars(TFLayer)["_default_save_signature"]
    TFLayer._default_save_signature = None
    try:
        yield
    finally:
        TFLayer._default_save_signature = before
