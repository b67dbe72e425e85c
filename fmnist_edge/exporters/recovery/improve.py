"""Improve a model for integer export: bias correction, fine-tuning. Model in, model out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.aliases import Tensor
from fmnist_edge.exporters.batch_norm import normalizes_last_axis
from fmnist_edge.exporters.clone import set_weights
from fmnist_edge.exporters.recovery.simulate import (
    activation_ranges,
    copy_model,
    layer_batches,
    simulate_int8,
)

if TYPE_CHECKING:
    import keras

__all__ = ["correct_biases", "fine_tune"]

LEARNING_RATE = 1e-4
BATCH = 50


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
    layers = [layer for layer in better.layers if shift_variable(layer) is not None and layer.name in ranges]
    exact = channel_means(model, [layer.name for layer in layers], images)
    for layer in layers:  # each one changes what those behind it get
        error = channel_means(rounded, [layer.name], images)[layer.name] - exact[layer.name]
        for changed in (layer, rounded.get_layer(layer.name)):
            shift: keras.Variable = shift_variable(changed)
            shift.assign(np.asarray(shift) - error)
    return better


def channel_means(model: keras.Model, names: list[str], images: np.ndarray) -> dict[str, np.ndarray]:
    """float64 (channels,) for each of these layers: the mean of its outputs for `images`."""
    totals = dict.fromkeys(names, np.zeros(1))
    counts = dict.fromkeys(names, 0)
    for outputs in layer_batches(model, names, images) if names else ():
        for name, output in zip(names, outputs, strict=True):
            flat = output.reshape(-1, output.shape[-1])
            totals[name] = totals[name] + flat.sum(axis=0, dtype=np.float64)
            counts[name] += len(flat)
    return {name: totals[name] / counts[name] for name in names}


def fine_tune(
    model: keras.Model,
    images: np.ndarray,
    *,
    logits: bool,
    epochs: int,
    seed: int = 0,
    time_is_up: Callable[[], bool] = lambda: False,
) -> keras.Model | None:
    """Train the rounded model to reproduce the outputs of `model`: quantisation-aware distillation without labels.

    Args:
        images: preprocessed, float32 (n, *input_shape).
        logits: whether the model's output is logits; otherwise it is probabilities.
        time_is_up: asked after each batch; None is returned once it says so.
    """
    import keras
    from keras import ops

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            self.model.stop_training = time_is_up()

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
    student.fit(images, answers, batch_size=BATCH, epochs=epochs, callbacks=[Stop()], verbose=0)
    if student.stop_training:
        return None
    better = copy_model(model)
    for layer in better.layers:
        if layer.weights:
            set_weights(layer, student.get_layer(layer.name).get_weights())
    return better
