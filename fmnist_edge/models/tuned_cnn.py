"""Tuned CNN: how far hyper-parameters alone move a fixed architecture.

The published diagram is lost, so this conv-pool-conv-pool-dense architecture is our own. The protocol is the published
one: a split of 40,000 / 20,000 / 10,000 images, augmentation, and a search over hyper-parameters only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmnist_edge.models.recipe import distilled, published
from fmnist_edge.models.spec import ModelSpec

if TYPE_CHECKING:
    import keras

__all__ = ["SPECS", "build"]


def build(*, dense_dropout: float = 0.4) -> keras.Model:
    """Untrained model: float32 (n, 28, 28, 1) in [0, 1] -> float32 (n, 10) logits."""
    import keras
    from keras import layers

    inputs = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(64, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu", name="dense")(x)
    x = layers.Dropout(dense_dropout, name="dropout")(x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(x), name="tuned_cnn")


# The values of tuning/tuned_cnn-recipe.json, with crops and weight averaging added: these need more epochs than a
# tuning trial has.
BEST = distilled(
    40,
    batch_size=64,
    learning_rate=0.014,
    weight_decay=0.042,
    erase=0.13,
    label_smoothing=0.02,
    views=5,
    fit_validation=True,
    build={"dense_dropout": 0.1},
)
SPECS = (
    ModelSpec(
        "tuned_cnn",
        build,
        parameters=421_642,
        published_accuracy=0.9117,
        train_images=60_000,
        validation_images=20_000,
        recipes=(published(), BEST),
    ),
)
