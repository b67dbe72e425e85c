"""A Keras model that computes as its int8 export will, with gradients: what to correct and to fine-tune.

Weights are rounded symmetrically per output channel, activations per tensor over the range that calibration images
have, as the converters do it (Jacob et al. 2018, arXiv:1712.05877). Gradients pass the rounding as if it were not
there (Bengio et al. 2013, arXiv:1308.3432).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from fmnist_edge.export.lowering import set_weights

__all__ = ["activation_ranges", "is_relu", "one_to_one", "outputs_of", "simulated"]

BATCH = 100
# Layers whose output is on their input's grid already.
PASSING = ("Dropout", "Flatten", "GlobalMaxPooling2D", "InputLayer", "MaxPooling2D", "Permute", "Reshape")

Ranges = dict[str, tuple[float, float]]


def outputs_of(model: Any, names: list[str], images: np.ndarray) -> list[np.ndarray]:
    """What some layers answer to preprocessed `images`, float32 (n, ...) each."""
    import keras

    probe = keras.Model(model.inputs[0], [model.get_layer(name).output for name in names])
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    # Called, not predicted: a probe is used once, and compiling it takes longer than that.
    parts = [[np.asarray(output) for output in as_list(probe(batch, training=False))] for batch in batches]
    return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]


def as_list(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def activation_ranges(model: Any, images: np.ndarray) -> Ranges:
    """(least, largest) output of each layer over `images`, widened to hold 0, by layer name.

    Left out: layers that are called more than once, which have no one output.
    """
    names = [layer.name for layer in model.layers if len(layer._inbound_nodes) == 1]
    ranges: Ranges = dict.fromkeys(names, (0.0, 0.0))
    for start in range(0, len(images), BATCH):  # one batch's activations at a time
        for name, output in zip(names, outputs_of(model, names, images[start : start + BATCH]), strict=True):
            low, high = ranges[name]
            ranges[name] = min(low, float(output.min())), max(high, float(output.max()))
    return ranges


def simulated(model: Any, ranges: Ranges) -> Any:
    """A copy of `model`, layers and weights by the same names, that rounds what its int8 export rounds.

    Args:
        ranges: see `activation_ranges`. What is not in it, like operations (`x + y`) that are no layers, is not
            rounded.
    """
    import keras

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        output = layer(*args, **kwargs)
        if layer.name not in ranges or base_of(layer).__name__ in PASSING or is_fused(model.get_layer(layer.name)):
            return output
        return rounding_class()(*ranges[layer.name], name=f"{layer.name}_int8")(output)

    copy = keras.models.clone_model(model, clone_function=rounding_copy, call_function=call)
    for layer in model.layers:
        if layer.weights:
            set_weights(copy.get_layer(layer.name), layer.get_weights())
    return one_to_one(copy)


def one_to_one(model: Any) -> Any:
    """`model` as one that takes an array, not a list of one: a saved one may be either, and Keras warns if mistaken."""
    import keras

    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def is_fused(layer: Any) -> bool:
    """Whether converters merge the only layer behind this one into it, so that what flows between is never rounded."""
    from keras import layers

    behind = [node.operation for node in layer._outbound_nodes]
    return len(behind) == 1 and (is_relu(behind[0]) or isinstance(behind[0], layers.BatchNormalization))


def is_relu(layer: Any) -> bool:
    """Whether that is all it does: a ReLU layer, or an Activation with that name."""
    from keras import activations, layers

    return type(layer) is layers.ReLU or (type(layer) is layers.Activation and layer.activation is activations.relu)


def rounding_copy(layer: Any) -> Any:
    """The same layer, not its weights, with a kernel that is rounded if it has one."""
    return with_rounded_kernel(type(layer)).from_config(layer.get_config())


def base_of(layer: Any) -> type:
    return getattr(type(layer), "original", type(layer))


def with_rounded_kernel(layer_class: Any) -> Any:
    """A subclass whose kernel is rounded whenever it is read; `layer_class` itself when it has no kernel."""
    from keras import layers

    if not issubclass(layer_class, layers.Dense | layers.Conv2D | layers.DepthwiseConv2D):
        return layer_class
    axes = (0, 1) if issubclass(layer_class, layers.DepthwiseConv2D) else None

    def read(self: Any) -> Any:
        return round_weights(self._kernel, axes or tuple(range(len(self._kernel.shape) - 1)))

    def write(self: Any, value: Any) -> None:
        self._kernel = value

    return type(layer_class.__name__, (layer_class,), {"kernel": property(read, write), "original": layer_class})


def round_weights(kernel: Any, axes: tuple[int, ...]) -> Any:
    """To -127..127 steps of a scale of its own per channel; `axes` are those that share one."""
    from keras import ops

    scale = ops.maximum(ops.max(ops.abs(kernel), axis=axes, keepdims=True) / 127.0, 1e-12)
    return through(kernel, ops.round(kernel / scale) * scale)


@cache
def rounding_class() -> type:
    import keras
    from keras import ops

    class Rounding(keras.layers.Layer):
        """To 256 levels of one range, of which 0 is one."""

        def __init__(self, low: float, high: float, **kwargs: Any):
            super().__init__(**kwargs)
            self.scale = max((high - low) / 255.0, 1e-12)
            self.low, self.high = low, high

        def call(self, x):
            inside = ops.clip(x, self.low, self.high)
            return through(inside, ops.round(inside / self.scale) * self.scale)

    return Rounding


def through(exact: Any, rounded: Any) -> Any:
    """`rounded` with the gradient of `exact`."""
    from keras import ops

    return exact + ops.stop_gradient(rounded - exact)
