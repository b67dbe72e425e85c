"""Recurrent layers are unrolled where a precision cannot have loops."""

import numpy as np
import pytest
from keras import Input, Sequential, layers
from keras.utils import set_random_seed

from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.lowering import lower
from fmnist_edge.exporters.recurrent import MAX_STEPS

INT8 = get_precision("tflite", "int8")
MAKERS = {
    "gru": lambda: layers.GRU(4),
    "lstm, backwards": lambda: layers.LSTM(4, go_backwards=True),
    "simple, sequences": lambda: layers.SimpleRNN(4, return_sequences=True),
    "both ways": lambda: layers.Bidirectional(layers.LSTM(4)),
    "stacked cells": lambda: layers.RNN([layers.GRUCell(4), layers.LSTMCell(3)]),
}


def loops(model):
    import tensorflow as tf

    graph = tf.function(model).get_concrete_function(tf.TensorSpec((1, *model.input_shape[1:]))).graph
    return [op.name for op in graph.as_graph_def().node if "While" in op.op]


def model_of(layer, steps=5):
    set_random_seed(0)
    return Sequential([Input((steps, 3)), layer, layers.Flatten(), layers.Dense(2)])


QUICK = ("gru", "lstm, backwards")


@pytest.mark.parametrize(
    "make",
    [pytest.param(MAKERS[it], id=it, marks=[] if it in QUICK else [pytest.mark.slow]) for it in MAKERS],
)
def test_an_unrolled_layer_computes_the_same_without_a_loop(make):
    model = model_of(make())
    lowered = lower(model, INT8, np.zeros((1, 5, 3), np.float32)).model
    images = np.random.default_rng(0).normal(size=(7, 5, 3)).astype(np.float32)
    assert loops(model) and not loops(lowered)
    np.testing.assert_allclose(lowered.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-6)


def test_layers_in_a_time_distributed_one():
    set_random_seed(0)
    model = Sequential([Input((2, 5, 3)), layers.TimeDistributed(layers.GRU(4)), layers.Flatten(), layers.Dense(2)])
    lowered = lower(model, INT8, np.zeros((1, 2, 5, 3), np.float32)).model
    images = np.random.default_rng(0).normal(size=(7, 2, 5, 3)).astype(np.float32)
    assert lowered.layers[0].layer.unroll
    np.testing.assert_allclose(lowered.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-6)


@pytest.mark.parametrize("steps, number", [(MAX_STEPS + 1, str(MAX_STEPS + 1)), (None, "any number of")])
def test_too_many_steps_are_refused_by_name(steps, number):
    model = Sequential([Input((steps, 3)), layers.GRU(4, name="memory"), layers.Dense(2)])
    with pytest.raises(ExportError, match=rf"'memory' \(GRU\) has {number} time.*float32 or"):
        lower(model, INT8, np.zeros((1, 5, 3), np.float32))


def test_float_precisions_keep_the_loop():
    model = model_of(layers.GRU(4))
    assert lower(model, get_precision("tflite", "float32")).model is model
