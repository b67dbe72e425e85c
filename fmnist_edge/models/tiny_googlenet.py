"""Tiny GoogLeNet: four two-branch inception modules with local response normalisation, 1,044,240 parameters."""

from __future__ import annotations

from fmnist_edge.models.spec import ModelSpec

__all__ = ["SPEC", "build"]

MODULES = (16, 32, 64, 128)


def inception_module(x, filters: int, name: str):
    """{1x1 -> 3x3 || 1x1 -> 5x5}, all `filters` wide with ReLU; concat -> LRN -> max-pool 2x2/2 same."""
    from keras import layers

    from fmnist_edge.models.layers import LocalResponseNormalization

    def conv(inputs, size: int, suffix: str):
        options = {"padding": "same", "activation": "relu"}
        return layers.Conv2D(filters, size, name=f"{name}_{suffix}", **options)(inputs)

    branches = [conv(conv(x, 1, f"reduce{size}"), size, f"conv{size}") for size in (3, 5)]
    x = layers.Concatenate(name=f"{name}_concat")(branches)
    x = LocalResponseNormalization(name=f"{name}_lrn")(x)
    return layers.MaxPooling2D(2, 2, padding="same", name=f"{name}_pool")(x)


def build(*, conv_dropout: float = 0.25, dense_dropout: float = 0.35):
    """Untrained model: float32 (n, 28, 28, 1) in [0, 1] -> float32 (n, 10) logits.

    The published head ended in ReLU and its loss went NaN; ours ends in logits.
    """
    import keras
    from keras import layers

    from fmnist_edge.models.layers import lrn_relu

    inputs = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(16, 3, padding="same", name="stem_conv")(inputs)
    x = lrn_relu(x, "stem")
    for filters in MODULES:
        x = layers.Dropout(conv_dropout, name=f"dropout_{filters}")(x)
        x = inception_module(x, filters, f"module_{filters}")
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(250, activation="relu", name="dense")(x)
    x = layers.BatchNormalization(name="batch_norm")(x)
    x = layers.Dropout(dense_dropout, name="dropout_dense")(x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(x), name="tiny_googlenet")


SPEC = ModelSpec("tiny_googlenet", build, parameters=1_044_240, published_accuracy=0.8954)
