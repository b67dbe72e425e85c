"""Simulate an int8 export as a Keras model with gradients, for bias correction and fine-tuning.

Like the converters (Jacob et al. 2018, arXiv:1712.05877), it rounds weights symmetrically per output channel, and
activations per tensor over their range on calibration images. Gradients ignore the rounding: the straight-through
estimator (Bengio et al. 2013, arXiv:1308.3432).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_edge.aliases import Tensor
from fmnist_edge.exporters.clone import set_weights

if TYPE_CHECKING:
    import keras

__all__ = [
    "activation_ranges",
    "copy_model",
    "is_fused",
    "is_relu",
    "layer_batches",
    "layer_outputs",
    "simulate_int8",
    "single_input_model",
]

BATCH = 100
# Layers whose output values are all input values, which are rounded already.
PASS_THROUGH = ("Dropout", "Flatten", "GlobalMaxPooling2D", "InputLayer", "MaxPooling2D", "Permute", "Reshape")

Ranges = dict[str, tuple[float, float]]


def layer_outputs(model: keras.Model, names: list[str], images: np.ndarray) -> list[np.ndarray]:
    """The outputs of some layers, float32 (n, ...) each, for preprocessed `images`."""
    return [np.concatenate(pieces) for pieces in zip(*layer_batches(model, names, images), strict=True)]


def layer_batches(model: keras.Model, names: list[str], images: np.ndarray) -> Iterator[list[np.ndarray]]:
    """The outputs of some layers for one batch of `images` after the other."""
    import keras

    probe = keras.Model(model.inputs[0], [model.get_layer(name).output for name in names])
    for start in range(0, len(images), BATCH):
        # Not `predict`: the probe is used once, and compiling it would take longer.
        outputs = probe(images[start : start + BATCH], training=False)
        yield [np.asarray(output) for output in as_list(outputs)]


def as_list(outputs: Tensor | list[Tensor]) -> list[Tensor]:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def activation_ranges(model: keras.Model, images: np.ndarray) -> Ranges:
    """(minimum, maximum) output of each layer over `images`, extended to contain 0, by layer name.

    Layers that are called more than once are left out, as they have several outputs.
    """
    names = [layer.name for layer in model.layers if len(layer._inbound_nodes) == 1]
    ranges: Ranges = dict.fromkeys(names, (0.0, 0.0))
    for outputs in layer_batches(model, names, images):  # one batch's activations at a time
        for name, output in zip(names, outputs, strict=True):
            low, high = ranges[name]
            ranges[name] = min(low, float(output.min())), max(high, float(output.max()))
    return ranges


def simulate_int8(model: keras.Model, ranges: Ranges) -> keras.Model:
    """A copy of `model`, with the same names of layers and weights, that rounds what its int8 export rounds.

    Args:
        ranges: see `activation_ranges`. Outputs that are not in it are not rounded, such as those of operations
            (`x + y`), which are not layers.
    """
    import keras

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Tensor:
        output = layer(*args, **kwargs)
        if (
            layer.name not in ranges
            or original_class(layer).__name__ in PASS_THROUGH
            or is_fused(model.get_layer(layer.name))
        ):
            return output
        return rounding_class()(*ranges[layer.name], name=f"{layer.name}_int8")(output)

    copy = keras.models.clone_model(model, clone_function=rounding_copy, call_function=call)
    for layer in model.layers:
        if layer.weights:
            set_weights(copy.get_layer(layer.name), layer.get_weights())
    return single_input_model(copy)


def copy_model(model: keras.Model) -> keras.Model:
    """A functional copy of `model`, weights included, in which each layer is called only as in this model.

    Building a Sequential layer by layer leaves additional calls of its layers.
    """
    import keras

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        return type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        if layer.weights:
            set_weights(copy.get_layer(layer.name), layer.get_weights())
    return single_input_model(copy)


def single_input_model(model: keras.Model) -> keras.Model:
    """`model` with an array as input and output. A saved model may use lists of one array; Keras warns about a mix."""
    import keras

    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def is_fused(layer: keras.layers.Layer) -> bool:
    """Whether converters fuse the next layer into this one, so that this one's output is never rounded."""
    from keras import layers

    behind = [node.operation for node in layer._outbound_nodes]
    return len(behind) == 1 and (is_relu(behind[0]) or isinstance(behind[0], layers.BatchNormalization))


def is_relu(layer: keras.layers.Layer) -> bool:
    """Whether `layer` is a ReLU layer, clipped or not, or an Activation of that kind."""
    from keras import activations, layers

    named = type(layer) is layers.Activation and layer.activation in (activations.relu, activations.relu6)
    return named or type(layer) is layers.ReLU or hasattr(layer, "max_values")


def rounding_copy(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A copy of a layer without its weights; if it has a kernel, that is rounded."""
    return with_rounded_kernel(type(layer)).from_config(layer.get_config())


def original_class(layer: keras.layers.Layer) -> type[keras.layers.Layer]:
    return getattr(type(layer), "original", type(layer))


def with_rounded_kernel(layer_class: type[keras.layers.Layer]) -> type[keras.layers.Layer]:
    """A subclass whose kernel is rounded whenever it is read; `layer_class` itself if it has no kernel."""
    from keras import layers

    if not issubclass(layer_class, layers.Dense | layers.Conv2D | layers.DepthwiseConv2D):
        return layer_class
    axes = (0, 1) if issubclass(layer_class, layers.DepthwiseConv2D) else None

    def read(self: keras.layers.Layer) -> Tensor:
        return round_weights(self._kernel, axes or tuple(range(len(self._kernel.shape) - 1)))

    def write(self: keras.layers.Layer, value: Tensor) -> None:
        self._kernel = value

    return type(layer_class.__name__, (layer_class,), {"kernel": property(read, write), "original": layer_class})


def round_weights(kernel: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Round to -127..127 steps of a scale per channel; weights along `axes` share a scale."""
    from keras import ops

    scale = ops.maximum(ops.max(ops.abs(kernel), axis=axes, keepdims=True) / 127.0, 1e-12)
    return straight_through(kernel, ops.round(kernel / scale) * scale)


@cache
def rounding_class() -> type[keras.layers.Layer]:
    import keras
    from keras import ops

    class Rounding(keras.layers.Layer):
        """Rounds to 256 levels of a range; 0 is one of the levels."""

        def __init__(self, low: float, high: float, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.scale = max((high - low) / 255.0, 1e-12)
            self.low, self.high = low, high

        def call(self, x: Tensor) -> Tensor:
            inside = ops.clip(x, self.low, self.high)
            return straight_through(inside, ops.round(inside / self.scale) * self.scale)

    return Rounding


def straight_through(exact: Tensor, rounded: Tensor) -> Tensor:
    """The value of `rounded` with the gradient of `exact`."""
    from keras import ops

    return exact + ops.stop_gradient(rounded - exact)
