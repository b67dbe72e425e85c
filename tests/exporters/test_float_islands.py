"""int8 files of layers whose values eight bits cannot hold: ranges of shared scales, ops that stay in float."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.activation_ranges import measure
from fmnist_edge.exporters.lowering import lower
from fmnist_edge.exporters.tflite import EXPORTER, fixed_batch, make_converter
from fmnist_edge.exporters.tflite_operators import operators

INT8, ONLY, INT16 = (get_precision("tflite", name) for name in ("int8", "int8_only", "int16x8"))
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-4, 4, (12, 6, 4)).astype("float32")
WITH_BLACK = np.concatenate([IMAGES, np.zeros((1, 6, 4), "float32")])


def model_of(build, shape=(6, 4)):
    keras.utils.set_random_seed(1)
    inputs = keras.Input(shape, name="image")
    return keras.Model(inputs, layers.Flatten()(build(inputs)), name="model")


def wide(x, **arguments):
    """A convolution with answers up to about ±15."""
    return layers.Conv1D(4, 3, kernel_initializer=keras.initializers.RandomUniform(-1, 1), **arguments)(x)


def exported(model, precision, images):
    return EXPORTER.convert(lower(model, precision, images).model, precision, 1, images)


def answers(content, images):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    given, wanted = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = given["quantization"]
    found = []
    for image in images:
        interpreter.set_tensor(given["index"], np.clip(np.rint(image[None] / scale + zero), -128, 127).astype(np.int8))
        interpreter.invoke()
        found.append(interpreter.get_tensor(wanted["index"])[0])
    scale, zero = wanted["quantization"]
    return (np.array(found, np.float32) - zero) * scale


def error_of(model, images):
    """Largest difference of an int8 export, as a fraction of the output's range."""
    expected = np.asarray(model(images))
    return np.abs(answers(exported(model, INT8, images), images) - expected).max() / np.ptp(expected)


def test_a_tensor_that_another_op_reads_keeps_its_range():
    """Both ops read the convolution, and MINIMUM shares its scale with it: it was 90 % off."""
    model = model_of(lambda x: layers.Conv1D(4, 3, activation="celu")(x))
    assert error_of(model, IMAGES) < 0.02


def test_a_tensor_that_one_op_reads_is_cut_off_with_it():
    """What nobody sees behind a clip needs no range: the scale stays fine."""
    model = model_of(lambda x: ops.minimum(wide(x), 0.5) + 0.0)
    convolution = next(op for op in operators(exported(model, INT8, IMAGES)) if op.kind == "CONV_2D")
    assert convolution.outputs[0].quantization.scale[0] * 255 < 16  # of 26


def test_ops_that_share_only_a_constant_share_no_scale():
    """Two RESHAPEs with one shape constant joined small and large tensors."""
    model = model_of(lambda x: [layers.Reshape((2, 12))(x), layers.Reshape((2, 12))(x * 1000.0)][0])
    assert error_of(model, IMAGES) < 0.01


@pytest.mark.parametrize(
    "build",
    [
        lambda x: layers.LayerNormalization(epsilon=1e-6)(x),
        lambda x: layers.UnitNormalization()(x),
        lambda x: wide(x, activation="selu"),
        lambda x: layers.Attention()([x, x], use_causal_mask=True),
        lambda x: ops.divide_no_nan(x, ops.abs(x) + 1.0),
    ],
    ids=["LayerNormalization", "UnitNormalization", "selu", "masked attention", "division"],
)
def test_values_too_far_apart_for_eight_bits_stay_in_float(build):
    assert error_of(model_of(build), WITH_BLACK) < 0.03


def test_selu_layers_choose_between_no_two_branches():
    model = model_of(lambda x: layers.Activation("selu")(wide(x)))
    content = exported(model, INT8, IMAGES)
    assert {"SELECT", "SELECT_V2"}.isdisjoint(op.kind for op in operators(content))
    expected = np.asarray(model(IMAGES))
    assert np.abs(np.asarray(lower(model, INT8, IMAGES).model(IMAGES)) - expected).max() < 1e-5
    assert np.abs(answers(content, IMAGES) - expected).max() < 0.02 * np.ptp(expected)


def test_convolutions_stay_integer_beside_an_island():
    model = model_of(lambda x: wide(x, activation="softsign"))
    kinds = {op.kind: op for op in operators(exported(model, INT8, IMAGES))}
    assert not kinds["CONV_2D"].computes_in_float and kinds["DIV"].computes_in_float


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
def test_squares_and_other_activations_stay_integer():
    model = model_of(lambda x: ops.square(layers.Conv1D(8, 3, activation="relu")(x) ** 3))
    converter = make_converter(fixed_batch(model, 1), INT8, IMAGES)
    converter._experimental_calibrate_only = True
    assert measure(converter.convert(), (image[None] for image in IMAGES)).lost == ()


def test_a_confident_softmax_stays_integer():
    """Of ten probabilities, nine are next to nothing: int8_only refused such a classifier."""
    sharp = keras.initializers.RandomNormal(stddev=3.0)
    model = model_of(lambda x: layers.Dense(10, "softmax", kernel_initializer=sharp)(layers.Flatten()(x)))
    assert np.median(np.asarray(model(IMAGES))) < 1e-6
    assert np.abs(answers(exported(model, ONLY, IMAGES), IMAGES) - np.asarray(model(IMAGES))).max() < 0.1


def test_a_softmax_over_many_values_stays_in_float():
    """A thousand equal probabilities are a quarter of a step each."""
    model = model_of(lambda x: layers.Dense(1000, "softmax")(layers.Flatten()(0.01 * x)))
    assert any(op.kind == "SOFTMAX" and op.computes_in_float for op in operators(exported(model, INT8, IMAGES)))


def test_integer_only_refuses_an_island_by_its_layer():
    model = model_of(lambda x: wide(x, activation="softsign", name="stem"))
    with pytest.raises(ExportError, match=r"layer 'stem' divides, or has values too far apart .* tflite int8, which"):
        exported(model, ONLY, IMAGES)


@pytest.mark.parametrize(
    ("build", "op"),
    [(lambda x: ops.sum(x, axis=-1), "SUM"), (lambda x: ops.log(x + 5), "LOG"), (lambda x: ops.rsqrt(x + 5), "RSQRT")],
)
def test_16_bit_kernels_that_are_wrong_are_refused(build, op):
    with pytest.raises(ExportError, match=f"TFLite's int16 kernel is wrong for {op}, .*; export it as tflite int8"):
        exported(model_of(build), INT16, IMAGES)
