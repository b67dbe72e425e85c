"""A small model with what makes layers hard to find in a file: names like Keras's own, BatchNorm to fold, a branch,
pooling, dropout, LRN; and one layer that suffers from eight bits when asked to."""

import numpy as np

from fmnist_edge import checkpoints
from fmnist_edge.runtime import Contract

CONTRACT = Contract((12, 12, 1), "logits", tuple("abcdef"))
HURT = "dense_1"


def images(count: int = 40) -> np.ndarray:
    """uint8 (count, 12, 12, 1): blobs of some brightness."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (count, 3, 3, 1))
    return np.kron(coarse, np.ones((1, 4, 4, 1))).astype(np.uint8)


def small_model(hurt: bool = False):
    """Untrained, logits of 6 classes. `hurt` gives every row of HURT's weights an outlier that meets zeros alone:
    nothing changes in float, and next to nothing is left of the other weights at eight bits."""
    import keras

    from fmnist_edge.models.layers import LocalResponseNormalization

    keras.utils.set_random_seed(4)
    layers = keras.layers
    image = keras.Input((12, 12, 1), name="picture")
    x = layers.Conv2D(6, 3, use_bias=False, name="conv2d")(image)
    x = layers.ReLU(name="re_lu")(layers.BatchNormalization(name="batch_normalization")(x))
    x = layers.MaxPooling2D(name="pool")(x)
    y = layers.Conv2D(6, 3, padding="same", name="conv2d_1")(x)
    y = LocalResponseNormalization(name="lrn")(y)
    x = layers.Dropout(0.5, name="dropout")(layers.Add(name="add")([x, y]))
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(20, activation="relu", name="dense")(x)
    x = layers.Dense(16, activation="relu", name="dense_1")(x)
    model = keras.Model(image, layers.Dense(6, name="scores")(x), name="small")
    rng = np.random.default_rng(6)
    norm = model.get_layer("batch_normalization")
    norm.set_weights([*rng.uniform(0.5, 1.5, (2, 6)), *rng.uniform(0.1, 0.5, (2, 6))])
    if hurt:
        kernel, bias = model.get_layer("dense").get_weights()
        bias[0] = -1e3  # ReLU makes it zero, whatever comes
        model.get_layer("dense").set_weights([kernel, bias])
        kernel, bias = model.get_layer(HURT).get_weights()
        kernel[0] = 60
        model.get_layer(HURT).set_weights([kernel, bias])
    return model


def small_checkpoint(folder, hurt: bool = False):
    path = folder / "small.keras"
    small_model(hurt).save(path)
    return checkpoints.load(path)
