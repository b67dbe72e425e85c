"""Models that the converter refuses, or converts wrongly, without help: the answers are Keras's."""

import keras
import numpy as np
from keras import layers, ops
from support.tflite_scores import off_by

from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.exporters.lowering import lower
from fmnist_edge.exporters.tflite import EXPORTER

SHAPE = (4, 6)
IMAGES = np.random.default_rng(3).uniform(-4, 4, (16, *SHAPE)).astype(np.float32)


def model_with(build, shape=SHAPE):
    inputs = keras.Input(shape, name="image")
    return keras.Model(inputs, layers.Flatten()(build(inputs)), name="model")


def convert(model, precision, images=IMAGES):
    record = get_precision("tflite", precision)
    return EXPORTER.convert(lower(model, record, images).model, record, 1, images)


def test_a_layer_that_asks_for_the_shape_of_its_input_exports():
    """With an open batch it has no shape, and TensorFlow hides the reason: 'NoneType' object is not callable."""
    model = model_with(lambda x: ops.average(x, axis=1, weights=np.float32([1, 2, 3, 4])))
    assert off_by(model, convert(model, "float32"), IMAGES) < 1e-6


def test_a_bias_that_ops_share_has_the_scale_of_each():
    """Each step of a GRU has the same bias, and another range of its state."""
    keras.utils.set_random_seed(0)
    model = model_with(layers.GRU(5, bias_initializer=keras.initializers.RandomUniform(-1, 1)))
    images = IMAGES / 4
    assert off_by(model, convert(model, "int16x8", images), images) < 0.005


def test_the_ops_of_an_operation_stay_float_together():
    """1 / sqrt(variance) of a constant image is far larger than of others, and what it is multiplied with is too."""
    images = IMAGES.copy()
    images[0] = 4
    scale, shift = np.float32([1, 2, 0.5, 1, 1, 1]), np.float32([0, 0, 1, 0, -1, 0])
    model = model_with(lambda x: ops.layer_normalization(x, scale, shift, epsilon=1e-6))
    assert off_by(model, convert(model, "int8", images), images) < 0.05


def test_a_logarithm_of_what_eight_bits_make_zero_stays_float():
    """With what is in front of it in its layer: a spectrogram is a convolution, and the logarithm of its size."""
    images = np.random.default_rng(0).uniform(0, 1, (8, 64, 1)).astype(np.float32)
    images[0] = 0
    model = model_with(layers.STFTSpectrogram(frame_length=16, frame_step=8), (64, 1))
    assert off_by(model, convert(model, "int8", images), images[1:]) < 0.06


def test_float16_keeps_constants_that_it_would_make_zero():
    model = model_with(lambda x: ops.log(ops.relu(x) + 1e-10))
    assert off_by(model, convert(model, "float16"), IMAGES) < 1e-3
