"""Small models of every task, with random weights of which the answers vary, and what they are fed with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

IMAGE = (12, 12, 1)


def images(count: int = 64) -> np.ndarray:
    """uint8 (count, 12, 12, 1): the top half is darker in every other one."""
    found = np.random.default_rng(2).integers(0, 256, (count, *IMAGE)).astype(np.uint8)
    found[::2, :6] //= 4
    return found


def of_images(units: int, activation: str | None, name: str) -> Any:
    """A model of images / 255 whose outputs lie on both sides of 0 (or of 0.5 after a sigmoid)."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    inputs = keras.Input(IMAGE, name="picture")
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(inputs)
    x = layers.Dense(units, name="scores")(layers.Flatten()(x))
    body = keras.Model(inputs, x)
    found = np.asarray(body(images() / np.float32(255)))
    dense = body.get_layer("scores")
    kernel, bias = dense.get_weights()
    spread = found.std(axis=0)
    dense.set_weights([3 * kernel / spread, (bias - np.median(found, axis=0)) * 3 / spread])
    outputs = body.outputs[0] if activation is None else layers.Activation(activation)(body.outputs[0])
    return keras.Model(inputs, outputs, name=name)


def sensor(name: str = "sensor") -> Any:
    """Two classes of 32 samples of 3 channels, which lie between about -30 and 30."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(5)
    inputs = keras.Input((32, 3), name="samples")
    x = layers.Conv1D(6, 5, activation="relu")(inputs)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(x)), name=name)


def samples(count: int = 64) -> np.ndarray:
    return np.random.default_rng(4).normal(0, 10, (count, 32, 3)).astype(np.float32)


def regression(name: str = "regression") -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(6)
    inputs = keras.Input((8,), name="row")
    x = layers.Dense(16, activation="relu")(inputs)
    return keras.Model(inputs, layers.Dense(1, name="price")(x), name=name)


def rows(count: int = 64) -> np.ndarray:
    return np.random.default_rng(7).normal(0, 2, (count, 8)).astype(np.float32)


def two_by_two(name: str = "two") -> Any:
    """Two inputs and two outputs, named so that their alphabetical order is not theirs."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(8)
    view = keras.Input((10, 10, 2), name="view")
    state = keras.Input((4,), name="motion")
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(view)
    pooled = layers.Concatenate(name="joined")([layers.GlobalAveragePooling2D(name="pooled")(x), state])
    steering = layers.Dense(3, name="steering")(layers.Dense(8, activation="relu", name="hidden")(pooled))
    mask = layers.Conv2D(1, 1, activation="sigmoid", name="mask")(x)
    return keras.Model([view, state], [steering, mask], name=name)


def views(count: int = 48) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(9)
    return {
        "view": rng.normal(0, 1, (count, 10, 10, 2)).astype(np.float32),
        "motion": rng.normal(0, 3, (count, 4)).astype(np.float32),
    }


def save(model: Any, folder: Path) -> Path:
    path = folder / f"{model.name}.keras"
    model.save(path)
    return path
