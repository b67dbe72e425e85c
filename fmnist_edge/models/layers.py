"""Layers that the architectures share. Importing this module imports Keras, so only `build` functions import it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from fmnist_edge.aliases import JsonObject, Tensor

__all__ = ["LocalResponseNormalization", "band_matrix", "hard_sigmoid_of_keras_2"]


def band_matrix(channels: int, radius: int) -> np.ndarray:
    """float32 (channels, channels): 1 where two channels are at most `radius` apart, else 0."""
    index = np.arange(channels)
    return (np.abs(index[:, None] - index[None, :]) <= radius).astype("float32")


@keras.saving.register_keras_serializable("fmnist_edge")
class LocalResponseNormalization(keras.layers.Layer):
    """Across-channel normalisation, y = x / (bias + alpha * sum(x^2 over 2*radius+1 channels))^beta.

    Krizhevsky et al. 2012, section 3.3, with the defaults of `tf.nn.local_response_normalization`
    (radius 5, bias 1, alpha 1, beta 0.5). The windowed sum is a 1x1 convolution of x^2 with a banded
    matrix: ordinary ops that every backend, converter and engine has.

    Input and output: float (n, height, width, channels).
    """

    def __init__(
        self, radius: int = 5, bias: float = 1.0, alpha: float = 1.0, beta: float = 0.5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.radius, self.bias, self.alpha, self.beta = radius, bias, alpha, beta

    def call(self, x: Tensor) -> Tensor:
        channels = x.shape[-1]
        kernel = self.alpha * band_matrix(channels, self.radius).reshape(1, 1, channels, channels)
        # A vector: converters fold it into the convolution as its bias.
        offset = np.full(channels, self.bias, "float32")
        energy = ops.conv(ops.square(x), ops.convert_to_tensor(kernel, x.dtype), padding="valid") + offset
        if self.beta == 0.5:
            return x * ops.rsqrt(energy)
        return x * ops.power(energy, -self.beta)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> JsonObject:
        config = {"radius": self.radius, "bias": self.bias, "alpha": self.alpha, "beta": self.beta}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("fmnist_edge")
def hard_sigmoid_of_keras_2(x: Tensor) -> Tensor:
    """clip(0.2 x + 0.5, 0, 1), as Keras 1 and 2 define hard_sigmoid; Keras 3's is relu6(x + 3) / 6."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)
