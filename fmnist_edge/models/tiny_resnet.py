"""Tiny ResNet: a residual network with local response normalisation, 1,204,048 parameters.

Its edge twin has BatchNorm in place of LRN. Export folds it into the convolutions. The deployed network has only
convolutions, ReLUs, sums and two dense layers: no normalisation op that an engine runs slowly or lacks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from fmnist_edge.aliases import Tensor
from fmnist_edge.models.recipe import distilled, published
from fmnist_edge.models.spec import ModelSpec

if TYPE_CHECKING:
    import keras

__all__ = ["SPECS"]

STAGES = (32, 64, 128)  # each a strided unit then an identity unit


def residual_unit(
    x: Tensor, filters: int, strides: int, normalized: Callable[[Tensor, str], Tensor], name: str
) -> Tensor:
    """conv3x3/s -> norm -> ReLU -> conv3x3 -> norm, plus the skip (identity, or conv1x1/s -> norm); sum -> ReLU."""
    from keras import layers

    def conv(inputs: Tensor, size: int, stride: int, suffix: str) -> Tensor:
        options = {"strides": stride, "padding": "same", "use_bias": False}
        return layers.Conv2D(filters, size, name=f"{name}_{suffix}", **options)(inputs)

    main = layers.ReLU(name=f"{name}_1_relu")(normalized(conv(x, 3, strides, "conv1"), f"{name}_1"))
    main = normalized(conv(main, 3, 1, "conv2"), f"{name}_2")
    if strides > 1:
        x = normalized(conv(x, 1, strides, "skip"), f"{name}_skip")
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([main, x]))


def build(name: str, *, batch_norm: bool, conv_dropout: float = 0.25, dense_dropout: float = 0.5) -> keras.Model:
    """Untrained model: float32 (n, 28, 28, 1) in [0, 1] -> float32 (n, 10) logits."""
    import keras
    from keras import layers

    from fmnist_edge.models.layers import LocalResponseNormalization

    def normalized(x: Tensor, prefix: str) -> Tensor:
        if batch_norm:
            return layers.BatchNormalization(name=f"{prefix}_bn")(x)
        return LocalResponseNormalization(name=f"{prefix}_lrn")(x)

    inputs = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(16, 3, padding="same", use_bias=not batch_norm, name="stem_conv")(inputs)
    x = layers.ReLU(name="stem_relu")(normalized(x, "stem"))
    for filters in STAGES:
        x = layers.Dropout(conv_dropout, name=f"dropout_{filters}")(x)
        x = residual_unit(x, filters, 2, normalized, f"unit_{filters}a")
        x = residual_unit(x, filters, 1, normalized, f"unit_{filters}b")
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(250, activation="relu", name="dense")(x)
    x = layers.BatchNormalization(name="batch_norm")(x)
    x = layers.Dropout(dense_dropout, name="dropout_dense")(x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(x), name=name)


BEST = distilled(40, build={"conv_dropout": 0.0, "dense_dropout": 0.0})
SPECS = (
    ModelSpec(
        "tiny_resnet",
        partial(build, "tiny_resnet", batch_norm=False),
        parameters=1_204_048,
        published_accuracy=0.9335,
        recipes=(published(), BEST),
    ),
    ModelSpec(
        "tiny_resnet_edge",
        partial(build, "tiny_resnet_edge", batch_norm=True),
        parameters=1_208_576,
        published_accuracy=None,
        recipes=(BEST,),
        twin_of="tiny_resnet",
    ),
)
