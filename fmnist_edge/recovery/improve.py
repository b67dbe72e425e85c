"""What makes an integer export better: biases corrected, weights fine-tuned. Model in, another model out."""

from __future__ import annotations

from typing import Any

import numpy as np

from fmnist_edge.recovery.simulate import activation_ranges, one_to_one, outputs_of, simulated

__all__ = ["correct_biases", "fine_tune"]

LEARNING_RATE = 1e-4
BATCH = 50


def copy_of(model: Any) -> Any:
    import keras

    def clone(layer: Any) -> Any:
        return type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return one_to_one(copy)


def shift_of(layer: Any) -> Any | None:
    """The variable that a layer adds to its output per channel: a bias, or beta of a BatchNormalization."""
    from keras import layers

    if isinstance(layer, layers.BatchNormalization):
        return layer.beta
    return layer.bias if isinstance(layer, layers.Dense | layers.Conv2D | layers.DepthwiseConv2D) else None


def correct_biases(model: Any, images: np.ndarray) -> Any:
    """Shift each bias by the mean error that rounding causes behind it, per channel, front to back.

    Nagel et al. 2019 (arXiv:1906.04721), section 4.2, with the means measured on `images`, float32 (n, *input_shape).
    """
    better = copy_of(model)
    ranges = activation_ranges(model, images)
    rounded = simulated(better, ranges)
    for layer in better.layers:
        if shift_of(layer) is None:
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
    answers = one_to_one(model).predict(images, batch_size=BATCH, verbose=0)
    student = simulated(model, activation_ranges(model, images))
    for layer in student.layers:  # their statistics are the model's; rounding has no say in them
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    steps = epochs * -(-len(images) // BATCH)
    student.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)), loss)
    student.fit(images, answers, batch_size=BATCH, epochs=epochs, verbose=0)
    better = copy_of(model)
    for layer in better.layers:
        if layer.weights:
            layer.set_weights(student.get_layer(layer.name).get_weights())
    return better
