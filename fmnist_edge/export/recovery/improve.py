"""Improve a model for integer export: channel equalisation, bias correction, fine-tuning. Model in, model out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.aliases import Tensor
from fmnist_edge.export.clone import set_weights
from fmnist_edge.export.lowering import normalizes_last_axis
from fmnist_edge.export.recovery.simulate import (
    activation_ranges,
    is_relu,
    layer_outputs,
    simulate_int8,
    single_input_model,
)

if TYPE_CHECKING:
    import keras

__all__ = ["correct_biases", "equalise", "fine_tune"]

LEARNING_RATE = 1e-4
BATCH = 50


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


def equalise(model: keras.Model, images: np.ndarray) -> keras.Model:
    """Equalise the channel ranges of two consecutive layers with only ReLU, max pooling or dropout between them.

    Dividing a channel by s in one layer and multiplying it by s in the next does not change the function. With
    s = sqrt(r / w), both ranges become sqrt(r · w): Nagel et al. 2019 (arXiv:1906.04721), section 4.1. w is the range
    of the channel's weights in the second layer. r is its largest activation over `images`, float32 (n, *input_shape).
    The paper uses the range of the first layer's weights as r, but engines have a scale for each of their channels and
    only one scale for the activations.
    """
    better = copy_model(model)
    for first in better.layers:
        second = next_kernel(first)
        if second is None:
            continue
        (activation,) = layer_outputs(better, [first.name], images)
        largest = np.abs(activation).max(axis=tuple(range(activation.ndim - 1)))
        kernel, *bias = first.get_weights()
        next_weights, *rest = second.get_weights()
        weight = np.abs(next_weights).max(axis=(*range(next_weights.ndim - 2), next_weights.ndim - 1))
        alive = (largest > 0) & (weight > 0)
        scale = np.where(alive, np.sqrt(np.where(alive, largest, 1) / np.where(alive, weight, 1)), 1)
        scale /= np.exp(np.log(scale).mean())  # a factor that all channels share has no effect
        first.set_weights([kernel / scale, *(part / scale for part in bias)])
        second.set_weights([next_weights * scale[:, None], *rest])
    return better


def next_kernel(layer: keras.layers.Layer) -> keras.Variable | None:
    """The Conv2D or Dense that is the only reader of `layer`, itself one of these; None if another layer is between."""
    from keras import activations, layers

    kernels, between = (layers.Conv2D, layers.Dense), (layers.MaxPooling2D, layers.Dropout)
    if type(layer) not in kernels or layer.activation not in (activations.relu, activations.linear):
        return None
    while True:
        readers = [node.operation for node in layer._outbound_nodes]
        if len(readers) != 1 or len(readers[0]._inbound_nodes) != 1:  # a shared layer has other inputs too
            return None
        (layer,) = readers
        if type(layer) in kernels:
            return layer if getattr(layer, "groups", 1) == 1 else None
        if type(layer) not in between and not (is_relu(layer) and is_homogeneous(layer)):
            return None


def is_homogeneous(relu: keras.layers.Layer) -> bool:
    """Whether f(a · x) = a · f(x) for a > 0: a ReLU without a maximum and a threshold."""
    return getattr(relu, "max_value", None) is None and not getattr(relu, "threshold", 0)


def shift_variable(layer: keras.layers.Layer) -> keras.Variable | None:
    """The variable that a layer adds to each channel (last axis): its bias, or a BatchNormalization's beta."""
    from keras import layers

    if isinstance(layer, layers.BatchNormalization):
        return layer.beta if len(layer._inbound_nodes) == 1 and normalizes_last_axis(layer) else None
    return layer.bias if isinstance(layer, layers.Dense | layers.Conv2D | layers.DepthwiseConv2D) else None


def correct_biases(model: keras.Model, images: np.ndarray) -> keras.Model:
    """Subtract from each bias the mean error that rounding causes in the layer's output, per channel, front to back.

    Nagel et al. 2019 (arXiv:1906.04721), section 4.2, with means measured on `images`, float32 (n, *input_shape).
    """
    model, better = copy_model(model), copy_model(model)
    ranges = activation_ranges(model, images)
    rounded = simulate_int8(better, ranges)
    for layer in better.layers:
        if shift_variable(layer) is None or layer.name not in ranges:
            continue
        (exact,), (found,) = layer_outputs(model, [layer.name], images), layer_outputs(rounded, [layer.name], images)
        error = np.mean(found.astype(np.float64) - exact, axis=tuple(range(exact.ndim - 1)))
        for changed in (layer, rounded.get_layer(layer.name)):
            shift: keras.Variable = shift_variable(changed)
            shift.assign(np.asarray(shift) - error)
    return better


def fine_tune(model: keras.Model, images: np.ndarray, *, logits: bool, epochs: int, seed: int = 0) -> keras.Model:
    """Train the rounded model to reproduce the outputs of `model`: quantisation-aware distillation without labels.

    Args:
        images: preprocessed, float32 (n, *input_shape).
        logits: whether the model's output is logits; otherwise it is probabilities.
    """
    import keras
    from keras import ops

    def loss(teacher: Tensor, student: Tensor) -> Tensor:
        if logits:
            teacher, student = ops.softmax(teacher), ops.softmax(student)
        return keras.losses.kl_divergence(teacher, student)

    keras.utils.set_random_seed(seed)
    model = copy_model(model)
    answers = model.predict(images, batch_size=BATCH, verbose=0)
    student = simulate_int8(model, activation_ranges(model, images))
    for layer in student.layers:  # rounding must not change BatchNorm statistics
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    steps = epochs * -(-len(images) // BATCH)
    student.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)), loss)
    student.fit(images, answers, batch_size=BATCH, epochs=epochs, verbose=0)
    better = copy_model(model)
    for layer in better.layers:
        if layer.weights:
            set_weights(layer, student.get_layer(layer.name).get_weights())
    return better
