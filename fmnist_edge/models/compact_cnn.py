"""Compact CNN: three valid convolutions and a narrowing dense head, 106,991 parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmnist_edge.models.recipe import distilled, published
from fmnist_edge.models.spec import ModelSpec

if TYPE_CHECKING:
    import keras

__all__ = ["SPECS", "build"]


def build(*, dense_dropout: float = 0.1) -> keras.Model:
    """Untrained model: float32 (n, 28, 28, 1) in [0, 1] -> float32 (n, 10) logits."""
    import keras
    from keras import layers

    inputs = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(34, 3, activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2D(22, 3, activation="relu", name="conv2")(x)
    x = layers.Conv2D(12, 3, activation="relu", name="conv3")(x)
    x = layers.Flatten(name="flatten")(x)
    for units in (95, 40, 24):
        x = layers.Dropout(dense_dropout, name=f"dropout_{units}")(x)
        x = layers.Dense(units, activation="relu", name=f"dense_{units}")(x)
    x = layers.Dropout(dense_dropout, name="dropout_logits")(x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(x), name="compact_cnn")


SPECS = (
    ModelSpec(
        "compact_cnn",
        build,
        parameters=106_991,
        published_accuracy=0.91,
        recipes=(published(), distilled(50, erase=0.0, build={"dense_dropout": 0.0})),
    ),
)
