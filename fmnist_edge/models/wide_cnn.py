"""Wide CNN: one convolution and a 5408 x 5408 dense layer, 29,306,282 parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmnist_edge.models.recipe import distilled, published
from fmnist_edge.models.spec import ModelSpec

if TYPE_CHECKING:
    import keras

__all__ = ["SPECS", "build"]


def build(*, conv_dropout: float = 0.2) -> keras.Model:
    """Untrained model: float32 (n, 28, 28, 1) in [0, 1] -> float32 (n, 10) logits."""
    import keras
    from keras import layers

    inputs = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(32, 3, activation="relu", name="conv")(inputs)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Dropout(conv_dropout, name="dropout")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(5408, activation="relu", name="dense")(x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(x), name="wide_cnn")


# Its teacher was trained on the protocol's 20,000 images only.
BEST = distilled(
    40,
    batch_size=256,
    optimizer="adamw",
    learning_rate=1.4e-3,
    weight_decay=0.05,
    erase=0.0,
    ema_momentum=0.995,
    teachers=("wrn_16_2_20k",),
    fit_validation=True,
    build={"conv_dropout": 0.1},
)
SPECS = (
    ModelSpec(
        "wide_cnn",
        build,
        parameters=29_306_282,
        published_accuracy=0.8994,
        train_images=20_000,
        validation_images=2_000,
        recipes=(published(flip=False), BEST),
    ),
)
