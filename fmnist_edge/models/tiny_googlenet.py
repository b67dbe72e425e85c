"""Tiny GoogLeNet: four two-branch inception modules with local response normalisation, 1,044,240 parameters.

Its edge twin has BatchNorm in place of LRN. BatchNorm comes before the ReLU of each branch; LRN comes after the
concatenation. Export can therefore fold it into the preceding convolution, and the deployed network has no
normalisation op.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fmnist_edge.aliases import Tensor
from fmnist_edge.models.recipe import distilled, published
from fmnist_edge.models.spec import ModelSpec

if TYPE_CHECKING:
    import keras

__all__ = ["SPECS"]

MODULES = (16, 32, 64, 128)


def conv_norm_relu(x: Tensor, filters: int, size: int, name: str) -> Tensor:
    from keras import layers

    x = layers.Conv2D(filters, size, padding="same", use_bias=False, name=name)(x)
    return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(x))


def inception_module(x: Tensor, filters: int, batch_norm: bool, name: str) -> Tensor:
    """{1x1 -> 3x3 || 1x1 -> 5x5}, all `filters` wide with ReLU; concat -> LRN -> max-pool 2x2/2 same."""
    from keras import layers

    from fmnist_edge.models.layers import LocalResponseNormalization

    branches = []
    for size in (3, 5):
        branch = layers.Conv2D(filters, 1, activation="relu", padding="same", name=f"{name}_reduce{size}")(x)
        if batch_norm:
            branches.append(conv_norm_relu(branch, filters, size, f"{name}_conv{size}"))
        else:
            options = {"padding": "same", "activation": "relu"}
            branches.append(layers.Conv2D(filters, size, name=f"{name}_conv{size}", **options)(branch))
    x = layers.Concatenate(name=f"{name}_concat")(branches)
    if not batch_norm:
        x = LocalResponseNormalization(name=f"{name}_lrn")(x)
    return layers.MaxPooling2D(2, 2, padding="same", name=f"{name}_pool")(x)


def build(name: str, *, batch_norm: bool, conv_dropout: float = 0.25, dense_dropout: float = 0.35) -> keras.Model:
    """Untrained model: float32 (n, 28, 28, 1) in [0, 1] -> float32 (n, 10) logits.

    The published head ends in ReLU, and its loss becomes NaN. Ours ends in logits.
    """
    import keras
    from keras import layers

    from fmnist_edge.models.layers import LocalResponseNormalization

    inputs = keras.Input((28, 28, 1), name="image")
    if batch_norm:
        x = conv_norm_relu(inputs, 16, 3, "stem_conv")
    else:
        x = layers.Conv2D(16, 3, padding="same", name="stem_conv")(inputs)
        x = layers.ReLU(name="stem_relu")(LocalResponseNormalization(name="stem_lrn")(x))
    for filters in MODULES:
        x = layers.Dropout(conv_dropout, name=f"dropout_{filters}")(x)
        x = inception_module(x, filters, batch_norm, f"module_{filters}")
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(250, activation="relu", name="dense")(x)
    x = layers.BatchNormalization(name="batch_norm")(x)
    x = layers.Dropout(dense_dropout, name="dropout_dense")(x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(x), name=name)


BEST = distilled(30, build={"conv_dropout": 0.0, "dense_dropout": 0.0})
SPECS = (
    ModelSpec(
        "tiny_googlenet",
        partial(build, "tiny_googlenet", batch_norm=False),
        parameters=1_044_240,
        published_accuracy=0.8954,
        recipes=(published(), BEST),
    ),
    ModelSpec(
        "tiny_googlenet_edge",
        partial(build, "tiny_googlenet_edge", batch_norm=True),
        parameters=1_045_728,
        published_accuracy=None,
        recipes=(BEST,),
        twin_of="tiny_googlenet",
    ),
)
