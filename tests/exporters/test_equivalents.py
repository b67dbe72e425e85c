"""What takes the place of a layer or operation computes the same, and is only there where it is needed."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.tflite_scores import off_by

from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.exporters.equivalents import ACTIVATIONS, TRAINING_ONLY, equivalents
from fmnist_edge.exporters.lowering import lower
from fmnist_edge.exporters.tflite import EXPORTER

IMAGES = np.stack([np.zeros((4, 6), "float32"), np.random.default_rng(0).normal(0, 1, (4, 6)).astype("float32")])


def model_with(layer, shape=(4, 6)):
    inputs = keras.Input(shape, name="image")
    return keras.Model(inputs, layers.Flatten()(ops.cast(layer(inputs), "float32")))


CASES = {
    "UnitNormalization": layers.UnitNormalization(axis=1),
    "Dot": lambda x: layers.Dot(axes=2, normalize=True)([x, layers.Dense(6, use_bias=False)(x)]),
    "Normalize": lambda x: ops.normalize(x, axis=-1),
    "Argmax": lambda x: ops.argmax(x, axis=-1),
    "Argmin": lambda x: ops.argmin(x, axis=1, keepdims=True),
    "Arctan": ops.arctan,
}


@pytest.mark.parametrize("name", CASES)
def test_it_computes_the_same(name):
    model = model_with(CASES[name])
    lowered = lower(model, get_precision("tflite", "float32")).model
    assert len(equivalents(model, "tflite")) == 1 and lowered is not model
    np.testing.assert_allclose(lowered(IMAGES), model(IMAGES), atol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_for_integers_is_the_same_function(name):
    """As a layer, as an operation, and inside a convolution, whose weights stay."""
    for build in (
        layers.Activation(name),
        getattr(ops, name, layers.Activation(name)),
        layers.Conv1D(3, 2, activation=name),
    ):
        model = model_with(build)
        assert equivalents(model, "tflite") == equivalents(model, "onnx", integer=True) == {}
        lowered = lower(model, get_precision("tflite", "int8"), IMAGES).model
        assert lowered is not model
        np.testing.assert_allclose(lowered(3 * IMAGES), model(3 * IMAGES), atol=1e-5)
        again = keras.models.clone_model(lowered)
        again.set_weights(lowered.get_weights())
        np.testing.assert_allclose(again(3 * IMAGES), model(3 * IMAGES), atol=1e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_right_in_eight_bits(name):
    """exp(4) left one step of eight bits for all that is below 0.2."""
    images = np.random.default_rng(0).uniform(-4, 4, (8, 4, 6)).astype("float32")
    model, record = model_with(layers.Activation(name)), get_precision("tflite", "int8_only")
    content = EXPORTER.convert(lower(model, record, images).model, record, 1, images)
    assert off_by(model, content, images) < 0.02


@pytest.mark.parametrize("name", ["Dot", "Normalize"])
def test_one_that_converts_as_it_is_stays(name):
    plain = {"Dot": lambda x: layers.Dot(axes=2)([x, x]), "Normalize": lambda x: ops.normalize(x, axis=-1, order=1)}
    model = model_with(plain[name])
    assert equivalents(model, "tflite") == {}
    assert lower(model, get_precision("tflite", "float32")).model is model


def test_each_format_gets_what_it_needs():
    assert equivalents(model_with(ops.arctan), "onnx") == {}
    assert len(equivalents(model_with(CASES["Argmax"]), "onnx")) == 1


def test_a_layer_that_acts_in_training_alone_vanishes():
    assert {name for name in TRAINING_ONLY if not hasattr(layers, name)} == set()
    model = model_with(layers.RandomSharpness(0.5, name="sharp"), (6, 6, 3))
    lowered = lower(model, get_precision("tflite", "float32")).model
    content = EXPORTER.convert(lowered, get_precision("tflite", "float32"), 1, None)
    assert EXPORTER.census(content).ops == {"RESHAPE": 1}


def test_a_layer_of_another_package_keeps_its_own_computation():
    class RandomFlip(layers.Layer):
        def call(self, x):
            return x * 2

    assert equivalents(model_with(RandomFlip()), "tflite") == {}


def test_sources_around_a_tflite_file_get_what_tflite_needs():
    model = model_with(ops.arctan)
    assert lower(model, get_precision("c-array", "int8_only"), IMAGES).model is not model


def test_stock_precisions_have_none():
    model = model_with(ops.arctan)
    assert lower(model, get_precision("onnx", "stock_float32")).model is model
