"""Wide ResNet 16-2, 693,210 parameters: Zagoruyko & Komodakis 2016 (arXiv:1605.07146), for one input channel.

The zoo's teacher. It keeps 28x28 pixels up to its second group. This costs 4 times the arithmetic of Tiny ResNet and
gives the accuracy that the small models learn from. There are two: one is trained on the whole training set; the other
is trained on the 20,000 images of wide_cnn's protocol only, and teaches wide_cnn.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fmnist_edge.aliases import Tensor
from fmnist_edge.models.recipe import best
from fmnist_edge.models.spec import ModelSpec

if TYPE_CHECKING:
    import keras

__all__ = ["SPECS"]

WIDTH = 2
BLOCKS_PER_GROUP = 2  # depth 6 * 2 + 4


def block(x: Tensor, filters: int, strides: int, name: str) -> Tensor:
    """BN -> ReLU -> conv3x3/s -> BN -> ReLU -> conv3x3, plus the input, or conv1x1/s of the first ReLU."""
    from keras import layers

    def norm_relu(inputs: Tensor, suffix: str) -> Tensor:
        normalized = layers.BatchNormalization(name=f"{name}_bn{suffix}")(inputs)
        return layers.ReLU(name=f"{name}_relu{suffix}")(normalized)

    def conv(inputs: Tensor, size: int, stride: int, suffix: str) -> Tensor:
        options = {"strides": stride, "padding": "same", "use_bias": False}
        return layers.Conv2D(filters, size, name=f"{name}_{suffix}", **options)(inputs)

    activated = norm_relu(x, "1")
    main = conv(norm_relu(conv(activated, 3, strides, "conv1"), "2"), 3, 1, "conv2")
    skip = x if x.shape[-1] == filters else conv(activated, 1, strides, "skip")
    return layers.Add(name=f"{name}_add")([main, skip])


def build(name: str) -> keras.Model:
    """Untrained model: float32 (n, 28, 28, 1) in [0, 1] -> float32 (n, 10) logits."""
    import keras
    from keras import layers

    inputs = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem_conv")(inputs)
    for group, filters in enumerate((16 * WIDTH, 32 * WIDTH, 64 * WIDTH), start=1):
        for index in range(BLOCKS_PER_GROUP):
            x = block(x, filters, 2 if group > 1 and index == 0 else 1, f"group{group}_{index + 1}")
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(layers.ReLU(name="relu")(x))
    return keras.Model(inputs, layers.Dense(10, name="logits")(x), name=name)


SPECS = (
    ModelSpec(
        "wrn_16_2",
        partial(build, "wrn_16_2"),
        parameters=693_210,
        published_accuracy=None,
        recipes=(best(20),),
    ),
    ModelSpec(
        "wrn_16_2_20k",
        partial(build, "wrn_16_2_20k"),
        parameters=693_210,
        published_accuracy=None,
        train_images=20_000,
        validation_images=2_000,
        recipes=(best(30),),
    ),
)
