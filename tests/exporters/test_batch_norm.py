"""BatchNorm in exports: folded where converters leave it, and a depthwise convolution in integers elsewhere."""

import keras
import numpy as np
import pytest
from keras import layers
from support.keras_models import randomised

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.exporters.batch_norm import as_depthwise, fold_batch_norm
from fmnist_edge.exporters.lowering import lower

IMAGES = np.random.default_rng(1).random((8, 9, 9, 3), np.float32)
PRECISIONS = [("tflite", "float32"), ("tflite", "int8"), ("onnx", "float32"), ("onnx", "int8")]


def model_of(build):
    """A model around `build`, whose BatchNorms have scales a hundredfold apart."""
    inputs = keras.Input((9, 9, 3))
    model = randomised(keras.Model(inputs, layers.GlobalAveragePooling2D()(build(inputs))))
    rng = np.random.default_rng(2)
    for norm in model.layers:
        if isinstance(norm, layers.BatchNormalization):
            count = norm.moving_mean.shape[0]
            first = [rng.permutation(np.geomspace(0.03, 3, count))] * norm.scale + [
                rng.normal(size=count)
            ] * norm.center
            norm.set_weights([*first, rng.normal(size=count), rng.uniform(0.5, 2, count)])
    return model


def padded(x):
    x = layers.DepthwiseConv2D(3, strides=2, use_bias=False, name="depthwise")(
        layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    )
    return layers.ReLU(6.0)(layers.BatchNormalization(name="norm")(x))


def multiplied(x):
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", name="depthwise")(x)
    return layers.BatchNormalization(scale=False, name="norm")(x)


@pytest.mark.parametrize("build", [padded, multiplied])
def test_batch_norm_is_folded_into_the_depthwise_convolution_before_it(build):
    model = model_of(build)
    folded = fold_batch_norm(model)
    assert not isinstance(folded.get_layer("norm"), layers.BatchNormalization)
    inside = keras.Model(folded.inputs[0], folded.get_layer("depthwise").output)(IMAGES)
    expected = keras.Model(model.inputs[0], model.get_layer("norm").output)(IMAGES)
    assert np.abs(np.asarray(inside) - np.asarray(expected)).max() < 1e-5
    assert np.abs(np.asarray(folded(IMAGES)) - np.asarray(model(IMAGES))).max() < 1e-5


def with_two_readers(x):
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    return layers.Add()([x, layers.BatchNormalization(name="norm")(x)])


def with_activation(x):
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    return layers.BatchNormalization(name="norm")(x)


def along_rows(x):
    return layers.BatchNormalization(axis=1, name="norm")(layers.DepthwiseConv2D(3, name="depthwise")(x))


@pytest.mark.parametrize("build", [with_two_readers, with_activation, along_rows])
def test_batch_norm_that_cannot_move_stays(build):
    model = model_of(build)
    assert fold_batch_norm(model) is model


def behind_add(x):
    x = layers.Conv2D(8, 3, padding="same")(x)
    return layers.ReLU()(layers.BatchNormalization(name="norm")(x + layers.Conv2D(8, 1)(x)))


def behind_concatenate(x):
    x = layers.Concatenate()([layers.Conv2D(4, 1)(x), layers.Conv2D(4, 1, activation="relu")(x)])
    return layers.Conv2D(6, 3)(layers.BatchNormalization(name="norm", center=False)(x))


def behind_padding(x):
    return layers.BatchNormalization(name="norm")(layers.ZeroPadding2D()(layers.Conv2D(8, 1)(x)))


@pytest.mark.parametrize("build", [behind_add, behind_concatenate, behind_padding])
def test_a_lone_batch_norm_is_a_depthwise_convolution_in_integers(build):
    model = model_of(build)
    lowered = as_depthwise(model)
    assert np.abs(np.asarray(lowered(IMAGES)) - np.asarray(model(IMAGES))).max() < 1e-5
    assert not isinstance(lowered.get_layer("norm"), layers.BatchNormalization)
    exact = lower(model, get_precision("tflite", "float32"), IMAGES).model
    assert isinstance(exact.get_layer("norm"), layers.BatchNormalization)


def test_what_converters_fold_is_left_to_them():
    model = model_of(lambda x: layers.BatchNormalization()(layers.Conv2D(8, 3)(x)))
    assert as_depthwise(model) is model


def census(model, format, precision):
    record, exporter = get_precision(format, precision), FORMATS[format].exporter()
    return exporter.census(exporter.convert(lower(model, record, IMAGES).model, record, 1, IMAGES)).ops


@pytest.mark.parametrize(("format", "precision"), PRECISIONS)
def test_files_have_no_arithmetic_of_batch_norm(format, precision):
    """Mul and Add in int8 give channels a hundredfold apart one scale."""
    model = model_of(lambda x: layers.Conv2D(4, 1)(padded(layers.ReLU()(layers.Conv2D(8, 1)(x)))))
    assert {"Mul", "Add", "MUL", "ADD"}.isdisjoint(census(model, format, precision))


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_a_lone_batch_norm_is_one_op_in_integers(format):
    ops = census(model_of(behind_add), format, "int8")
    assert ops.get("DEPTHWISE_CONV_2D", 0) == (format == "tflite")
    assert ops.get("Conv", 0) == 3 * (format == "onnx")
    assert ops["ADD" if format == "tflite" else "Add"] == 1
    assert {"Mul", "MUL"}.isdisjoint(ops)
