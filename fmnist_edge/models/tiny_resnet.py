"""Tiny ResNet: a residual network with local response normalisation, 1,204,048 parameters."""

from __future__ import annotations

from fmnist_edge.models.spec import ModelSpec

__all__ = ["SPEC", "build"]

STAGES = (32, 64, 128)  # each a strided unit then an identity unit


def residual_unit(x, filters: int, strides: int, name: str):
    """conv3x3/s -> LRN -> ReLU -> conv3x3 -> LRN, plus the skip (identity, or conv1x1/s -> LRN); sum -> ReLU."""
    from keras import layers

    from fmnist_edge.models.layers import LocalResponseNormalization, lrn_relu

    def conv(inputs, size: int, stride: int, suffix: str):
        options = {"strides": stride, "padding": "same", "use_bias": False}
        return layers.Conv2D(filters, size, name=f"{name}_{suffix}", **options)(inputs)

    main = lrn_relu(conv(x, 3, strides, "conv1"), f"{name}_1")
    main = LocalResponseNormalization(name=f"{name}_2_lrn")(conv(main, 3, 1, "conv2"))
    if strides > 1:
        x = LocalResponseNormalization(name=f"{name}_skip_lrn")(conv(x, 1, strides, "skip"))
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([main, x]))


def build(*, conv_dropout: float = 0.25, dense_dropout: float = 0.5):
    """Untrained model: float32 (n, 28, 28, 1) in [0, 1] -> float32 (n, 10) logits."""
    import keras
    from keras import layers

    from fmnist_edge.models.layers import lrn_relu

    inputs = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(16, 3, padding="same", name="stem_conv")(inputs)
    x = lrn_relu(x, "stem")
    for filters in STAGES:
        x = layers.Dropout(conv_dropout, name=f"dropout_{filters}")(x)
        x = residual_unit(x, filters, 2, f"unit_{filters}a")
        x = residual_unit(x, filters, 1, f"unit_{filters}b")
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(250, activation="relu", name="dense")(x)
    x = layers.BatchNormalization(name="batch_norm")(x)
    x = layers.Dropout(dense_dropout, name="dropout_dense")(x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(x), name="tiny_resnet")


SPEC = ModelSpec("tiny_resnet", build, parameters=1_204_048, published_accuracy=0.9335)
