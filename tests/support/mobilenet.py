"""The first blocks of Keras's MobileNet under its head: its layers and their names, at a third of the cost."""

from __future__ import annotations

from typing import Any


def first_blocks(classes: int, activation: str | None) -> Any:
    """float32 (n, 32, 32, 3) -> (n, classes): strides, padding, depthwise convolutions, BatchNorm, ReLU6."""
    import keras
    from keras import layers

    whole = keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None, classes=classes)
    x = whole.get_layer("conv_pw_3_relu").output
    x = layers.Conv2D(classes, 1, padding="same")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return keras.Model(whole.input, layers.Activation(activation)(layers.Reshape((classes,))(x)))
