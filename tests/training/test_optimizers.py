"""What one step does to each kind of weight, and how the rate goes up and down."""

import dataclasses

import keras
import numpy as np
import pytest

from fmnist_edge.models.recipe import Recipe
from fmnist_edge.training.optimizers import ConvMuon, optimizer_for

RECIPE = Recipe("x", epochs=4, optimizer="muon", learning_rate=0.1, weight_decay=0.0, warmup_epochs=0.0)


def variables():
    shapes = {"image/kernel": (3, 3, 1, 4), "conv/kernel": (3, 3, 4, 8), "dense/kernel": (6, 5), "conv/bias": (8,)}
    made = [keras.Variable(np.ones(shape, np.float32), name=name.split("/")[1]) for name, shape in shapes.items()]
    return dict(zip(shapes, made, strict=True))


def stepped(recipe, gradient_scale=1.0):
    """Weights minus what they were before one step on random gradients, which come along."""
    held = variables()
    rng = np.random.default_rng(0)
    gradients = [gradient_scale * rng.normal(size=v.shape).astype(np.float32) for v in held.values()]
    before = [keras.ops.convert_to_numpy(v) for v in held.values()]
    optimizer_for(recipe, steps=10).apply([keras.ops.convert_to_tensor(g) for g in gradients], list(held.values()))
    changes = [keras.ops.convert_to_numpy(v) - old for v, old in zip(held.values(), before, strict=True)]
    return dict(zip(held, zip(changes, gradients, strict=True), strict=True))


def test_muon_orthogonalises_convolution_kernels_whatever_the_gradients_size():
    for scale in (1e-3, 1e3):
        change, gradient = stepped(RECIPE, scale)["conv/kernel"]
        step = change.reshape(36, 8) / (-0.1 * 0.2 * np.sqrt(36))
        singular = np.linalg.svd(step, compute_uv=False)
        assert singular.min() > 0.6 and singular.max() < 1.3
        left, _, right = np.linalg.svd(gradient.reshape(36, 8), full_matrices=False)
        assert np.sum(step * (left @ right)) / np.linalg.norm(step) / np.linalg.norm(left @ right) > 0.97


@pytest.mark.parametrize("name", ["image/kernel", "dense/kernel", "conv/bias"])
def test_muon_leaves_the_rest_to_adamw_at_a_fifth_of_the_rate(name):
    change, gradient = stepped(RECIPE)[name]
    np.testing.assert_allclose(change, -0.2 * 0.1 * np.sign(gradient), rtol=1e-3)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_weight_decay_spares_biases(optimizer):
    held = variables()
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer, weight_decay=0.5)
    zeros = [keras.ops.zeros(v.shape) for v in held.values()]
    optimizer_for(recipe, steps=10).apply(zeros, list(held.values()))
    for name, held_variable in held.items():
        rate = 0.02 if optimizer == "muon" and name != "conv/kernel" else 0.1
        expected = 1.0 if name.endswith("bias") else 1 - rate * 0.5
        np.testing.assert_allclose(keras.ops.convert_to_numpy(held_variable), expected, rtol=1e-5)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_rate_warms_up_and_falls_to_zero(optimizer):
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer, warmup_epochs=1.0)
    schedule = optimizer_for(recipe, steps=10)._learning_rate
    rates = [float(schedule(step)) for step in (0, 5, 10, 25, 40)]
    np.testing.assert_allclose(rates, [0, 0.05, 0.1, 0.05, 0], atol=1e-6)


def test_the_average_of_the_weights_is_kept_when_asked_for():
    assert optimizer_for(dataclasses.replace(RECIPE, ema_momentum=0.9), 10).ema_momentum == 0.9
    assert not optimizer_for(RECIPE, 10).use_ema
    assert isinstance(optimizer_for(RECIPE, 10), ConvMuon)
