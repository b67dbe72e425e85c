"""What makes an integer export better: equal channels, corrected biases, fine-tuned weights. Model in, model out."""

from __future__ import annotations

from typing import Any

import numpy as np

from fmnist_edge.export.lowering import of_last_axis, set_weights
from fmnist_edge.export.recovery.simulate import activation_ranges, is_relu, one_to_one, outputs_of, simulated

__all__ = ["correct_biases", "equalise", "fine_tune"]

LEARNING_RATE = 1e-4
BATCH = 50


def copy_of(model: Any) -> Any:
    """Layers and weights alike, and a functional model in which each layer has the calls of this model and no others:
    adding layers to a Sequential one by one leaves some of every stage."""
    import keras

    def clone(layer: Any) -> Any:
        return type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        if layer.weights:
            set_weights(copy.get_layer(layer.name), layer.get_weights())
    return one_to_one(copy)


def equalise(model: Any, images: np.ndarray) -> Any:
    """Share the spread of the channels between two layers out to both, where only ReLU or max pooling lies between.

    A channel made smaller in one layer and larger by the same factor in the next leaves the function as it is. With
    s = sqrt(r / w) both ends up with sqrt(r · w): Nagel et al. 2019, section 4.1, with r the largest activation of the
    channel over `images`, float32 (n, *input_shape), in place of the first layer's weights, because engines have a
    scale for each of its channels but one for what flows between.
    """
    better = copy_of(model)
    for first in better.layers:
        second = next_kernel(first)
        if second is None:
            continue
        (activation,) = outputs_of(better, [first.name], images)
        largest = np.abs(activation).max(axis=tuple(range(activation.ndim - 1)))
        kernel, *bias = first.get_weights()
        behind, *rest = second.get_weights()
        weight = np.abs(behind).max(axis=(*range(behind.ndim - 2), behind.ndim - 1))
        alive = (largest > 0) & (weight > 0)
        scale = np.where(alive, np.sqrt(np.where(alive, largest, 1) / np.where(alive, weight, 1)), 1)
        scale /= np.exp(np.log(scale).mean())  # what all channels have in common changes nothing
        first.set_weights([kernel / scale, *(part / scale for part in bias)])
        second.set_weights([behind * scale[:, None], *rest])
    return better


def next_kernel(layer: Any) -> Any | None:
    """The Conv2D or Dense that alone reads what `layer`, one of those, makes; None with anything else in between."""
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
        if type(layer) not in between and not (is_relu(layer) and scales(layer)):
            return None


def scales(relu: Any) -> bool:
    """Whether f(a · x) = a · f(x) for a > 0; a cap or a threshold would have to move too."""
    return getattr(relu, "max_value", None) is None and not getattr(relu, "threshold", 0)


def shift_of(layer: Any) -> Any | None:
    """The variable that a layer adds to each channel, the last axis: a bias, or beta of a BatchNormalization."""
    from keras import layers

    if isinstance(layer, layers.BatchNormalization):
        return layer.beta if len(layer._inbound_nodes) == 1 and of_last_axis(layer) else None
    return layer.bias if isinstance(layer, layers.Dense | layers.Conv2D | layers.DepthwiseConv2D) else None


def correct_biases(model: Any, images: np.ndarray) -> Any:
    """Shift each bias by the mean error that rounding causes behind it, per channel, front to back.

    Nagel et al. 2019 (arXiv:1906.04721), section 4.2, with the means measured on `images`, float32 (n, *input_shape).
    """
    model, better = copy_of(model), copy_of(model)
    ranges = activation_ranges(model, images)
    rounded = simulated(better, ranges)
    for layer in better.layers:
        if shift_of(layer) is None or layer.name not in ranges:
            continue
        (exact,), (found,) = outputs_of(model, [layer.name], images), outputs_of(rounded, [layer.name], images)
        error = np.mean(found.astype(np.float64) - exact, axis=tuple(range(exact.ndim - 1)))
        for changed in (layer, rounded.get_layer(layer.name)):
            shift: Any = shift_of(changed)
            shift.assign(np.asarray(shift) - error)
    return better


def fine_tune(model: Any, images: np.ndarray, *, logits: bool, epochs: int, seed: int = 0) -> Any:
    """Train the rounded model to answer as `model` does: quantisation-aware distillation, no labels needed.

    Args:
        images: preprocessed, float32 (n, *input_shape).
        logits: whether the model ends in logits, not in probabilities.
    """
    import keras
    from keras import ops

    def loss(teacher, student):
        if logits:
            teacher, student = ops.softmax(teacher), ops.softmax(student)
        return keras.losses.kl_divergence(teacher, student)

    keras.utils.set_random_seed(seed)
    model = copy_of(model)
    answers = model.predict(images, batch_size=BATCH, verbose=0)
    student = simulated(model, activation_ranges(model, images))
    for layer in student.layers:  # their statistics are the model's; rounding has no say in them
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    steps = epochs * -(-len(images) // BATCH)
    student.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)), loss)
    student.fit(images, answers, batch_size=BATCH, epochs=epochs, verbose=0)
    better = copy_of(model)
    for layer in better.layers:
        if layer.weights:
            set_weights(layer, student.get_layer(layer.name).get_weights())
    return better
