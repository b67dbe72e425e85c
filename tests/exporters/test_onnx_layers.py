"""Layers and operations whose ONNX graphs need more than tf2onnx does: the answers are the Keras model's."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser
from support.keras_models import randomised

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import select
from fmnist_edge.errors import ExportError, InputError
from fmnist_edge.explain.onnx import computed_nodes
from fmnist_edge.exporters.lowering import lower
from fmnist_edge.exporters.minimum import runs_in
from fmnist_edge.exporters.onnx_names import all_nodes, layer_of, name_by_layer
from fmnist_edge.exporters.onnx_repair import repair
from fmnist_edge.exporters.onnx_runtimes import obstacles_in

SHAPE = (8, 8, 3)
IMAGES = np.random.default_rng(1).random((6, *SHAPE)).astype(np.float32)


def model_of(build, name="own"):
    """A model around `build`, with random weights, and a dense layer behind it."""
    import keras

    inputs = keras.Input(SHAPE)
    x = keras.layers.Flatten()(build(inputs))
    return randomised(keras.Model(inputs, keras.layers.Dense(3, name="out")(x), name=name))


def convert(model, precision="float32", batch=1):
    """The ONNX file of a model."""
    record = select("onnx", [precision])[0]
    return FORMATS["onnx"].exporter().convert(lower(model, record, IMAGES).model, record, batch, IMAGES)


def scores(content, images=IMAGES):
    """What ONNX Runtime answers, image by image."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": images[i : i + 1]})[0] for i in range(len(images))])


def assert_same(model, content, tolerance=1e-4, images=IMAGES):
    expected = np.asarray(model(images, training=False))
    assert np.abs(scores(content, images) - expected).max() <= tolerance * np.ptp(expected)


def graph_of(content):
    return onnx.load_from_string(content).graph


def over_rows(make):
    """A recurrent layer that reads the image's rows."""
    import keras

    return lambda x: make(keras.layers)(keras.layers.Reshape((8, 24))(x))


def masked(layers):
    return lambda x: layers.GRU(3)(layers.Masking()(x))


def convolutional(x):
    import keras

    return keras.layers.ConvLSTM1D(2, 3)(x)


RECURRENT = {
    "GRU": over_rows(lambda layers: layers.GRU(3)),
    "LSTM": over_rows(lambda layers: layers.LSTM(3, return_sequences=True)),
    "SimpleRNN backwards": over_rows(lambda layers: layers.SimpleRNN(3, go_backwards=True)),
    "Bidirectional": over_rows(lambda layers: layers.Bidirectional(layers.SimpleRNN(3, return_sequences=True))),
    "cells": over_rows(lambda layers: layers.RNN([layers.GRUCell(2), layers.LSTMCell(3)])),
    "masked": over_rows(masked),
    "ConvLSTM": convolutional,
}


QUICK = ("GRU", "LSTM", "cells")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in QUICK else [pytest.mark.slow]) for kind in RECURRENT]
)
def test_a_recurrent_layer(kind):
    """Their loops use tensors of the graph around them by name."""
    model = model_of(RECURRENT[kind])
    images = IMAGES.copy()
    images[:, 5:] = 0  # rows that are masked
    content = convert(model)
    assert_same(model, content, images=images)
    assert len({node.name for node in all_nodes(graph_of(content))}) == len(list(all_nodes(graph_of(content))))


NESTED = """
<ir_version: 8, opset_import: ["" : 17]>
agraph (float[1, 2] image) => (float[1, 2] y)
<float[2] w = {1, 2}, float[2] v = {3, 4}, bool yes = {1}>
{
    a = Add (image, w)
    y = If (yes) <
        then_branch = one () => (float[1, 2] r) {
            b = Mul (a, v)
            r = If (yes) <
                then_branch = deep () => (float[1, 2] s) { s = Sub (b, w) },
                else_branch = other () => (float[1, 2] s) { s = Neg (b) }
            >
        },
        else_branch = two () => (float[1, 2] r) { r = Identity (a) }
    >
}
"""


def test_bodies_are_renamed_with_the_graph_around_them():
    model = parser.parse_model(NESTED)
    for number, node in enumerate(all_nodes(model.graph)):
        node.name = f"model_1/{'first' if node.op_type == 'Add' else 'second'}_1/{node.op_type}{number}"
    image = np.float32([[5, 7]])
    before = scores(model.SerializeToString(), image)
    name_by_layer(model.graph, ["first", "second"])
    onnx.checker.check_model(model, full_check=True)
    assert [node.name for node in all_nodes(model.graph)] == [
        "first/Add", "second/If", "second/Mul", "second/If_2", "second/Sub", "second/Neg", "second/Identity"
    ]  # fmt: skip
    assert [item.name for item in model.graph.initializer] == [
        "first/Add/weight_1", "second/If/weight_0", "second/If/weight_2"
    ]  # fmt: skip
    assert np.array_equal(before, scores(model.SerializeToString(), image))
    named = model.SerializeToString(deterministic=True)
    name_by_layer(model.graph, ["first", "second"], again=True)
    assert model.SerializeToString(deterministic=True) == named


def captured(kind):
    import keras

    layers, ops = keras.layers, keras.ops
    large = np.linspace(0.5, 1, 192, dtype=np.float32).reshape(8, 8, 3)  # TensorFlow copies a small one into the graph

    def nested(x):
        inputs = keras.Input(SHAPE)
        inner = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(inputs)
        return keras.Model(inputs, inner, name="inner")(x)

    return {
        "Normalization": lambda x: layers.Normalization(axis=(1, 2, 3), mean=large, variance=large)(x),
        "nested Normalization": nested,
        "operation": lambda x: ops.subtract(x * ops.convert_to_tensor(large), ops.convert_to_tensor(large[0, 0])),
        "kernel": lambda x: ops.conv(x, ops.convert_to_tensor(np.tile(large[:3, :3, :, None], 4))),
        "in a loop": lambda x: layers.SimpleRNN(2)(layers.Reshape((8, 24))(x * ops.convert_to_tensor(large))),
    }[kind]


@pytest.mark.parametrize("kind", ["Normalization", "nested Normalization", "operation", "kernel", "in a loop"])
def test_a_captured_tensor_is_a_constant_of_the_file(kind):
    model = model_of(captured(kind))
    content = convert(model)
    assert [item.name for item in graph_of(content).input] == ["image"]
    assert_same(model, content)


def test_exporting_does_not_change_a_normalization():
    """A second format is converted from the same model."""
    model = model_of(captured("Normalization"))
    convert(model)
    assert type(model.layers[1].mean).__module__.startswith("tensorflow")


def grouped(kind):
    from keras import layers

    wide, long = layers.Conv2D(4, 1, name="before"), layers.Reshape((32, 6), name="rows")
    return {
        "Conv2D": lambda x: layers.Conv2D(6, 3, strides=2, padding="same", groups=2, name="grouped")(wide(x)),
        "Conv2D depthwise": lambda x: layers.Conv2D(6, 3, groups=3, dilation_rate=2, name="grouped")(x),
        "Conv1D": lambda x: layers.Conv1D(4, 3, groups=2, name="grouped")(long(x)),
        "Conv3D": lambda x: layers.Conv3D(6, 2, groups=3, name="grouped")(layers.Reshape((2, 4, 8, 3))(x)),
    }[kind]


@pytest.mark.parametrize(("kind", "groups"), [("Conv2D", 2), ("Conv2D depthwise", 3), ("Conv1D", 2), ("Conv3D", 3)])
def test_a_grouped_convolution_is_one_op(kind, groups):
    import tensorflow as tf

    model = model_of(grouped(kind))
    content = convert(model)
    convolutions = [node for node in graph_of(content).node if node.op_type == "Conv" and layer_of(node) == "grouped"]
    assert [item.i for node in convolutions for item in node.attribute if item.name == "group"] == [groups]
    assert_same(model, content)
    assert not tf.config.functions_run_eagerly()


def lowered(kind):
    from keras import layers, ops

    return {
        "gelu": lambda x: layers.Conv2D(3, 3, activation="gelu")(x),
        "celu": lambda x: ops.celu(x - 0.5, 0.7),
        "expm1": lambda x: ops.expm1((x - 0.5) * 1e-3),
        "logaddexp": lambda x: ops.logaddexp(x, -x),
        "Discretization": lambda x: ops.cast(layers.Discretization([0.2, 0.5, 0.8])(x), "float32"),
        "argmax": lambda x: ops.cast(ops.argmax(x - 0.5, axis=2), "float32"),
        "signbit": lambda x: ops.cast(ops.signbit(ops.relu(x - 0.5) * -1.0), "float32"),
        "cross": lambda x: ops.cross(x, ops.flip(x, 1)),
        "transposed, stride 3, kernel 2": lambda x: layers.Conv2DTranspose(2, 2, strides=3, padding="same")(x),
        "transposed, stride 3, kernel 1": lambda x: layers.Conv1DTranspose(2, 1, strides=3)(layers.Reshape((8, 24))(x)),
        "area": lambda x: layers.Resizing(5, 6, interpolation="area")(x),
        "bicubic": lambda x: layers.Resizing(11, 5, interpolation="bicubic")(x),
        "lanczos3": lambda x: layers.UpSampling2D((2, 3), interpolation="lanczos3")(x),
        "nearest": lambda x: layers.Resizing(11, 5, interpolation="nearest")(x),
        "antialias": lambda x: ops.image.resize(x, (3, 5), antialias=True),
        "pad to aspect ratio": lambda x: layers.Resizing(6, 4, pad_to_aspect_ratio=True)(x),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["gelu", "celu", "expm1", "logaddexp", "Discretization", "argmax", "signbit", "cross",
     "transposed, stride 3, kernel 2", "transposed, stride 3, kernel 1", "area", "bicubic", "lanczos3", "nearest",
     "antialias", "pad to aspect ratio"],
)  # fmt: skip
def test_what_tf2onnx_lacks_or_gets_wrong(kind, capfd):
    model = model_of(lowered(kind))
    content = convert(model)
    assert_same(model, content)
    assert "deprecated" not in capfd.readouterr().err


def zeros_before_pooling(kind):
    from keras import layers

    def negative(x):
        return x - 1.5

    return {
        "2D": lambda x: layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(layers.Conv2D(3, 1)(negative(x)))),
        "2D, channels first": lambda x: layers.MaxPooling2D(2, data_format="channels_first")(
            layers.ZeroPadding2D(((1, 0), (0, 1)), data_format="channels_first")(negative(x))
        ),
        "1D": lambda x: layers.MaxPooling1D(2)(layers.ZeroPadding1D(1)(layers.Reshape((8, -1))(negative(x)))),
        "3D": lambda x: layers.MaxPooling3D(2)(layers.ZeroPadding3D(1)(layers.Reshape((8, 4, 2, -1))(negative(x)))),
        "average": lambda x: layers.AveragePooling2D(3, 2)(layers.ZeroPadding2D(1)(negative(x))),
        "two readers": lambda x: layers.add([
            layers.MaxPooling2D(2)(padded := layers.ZeroPadding2D(1)(negative(x))), layers.AveragePooling2D(2)(padded)
        ]),
        "behind ReLU": lambda x: layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(layers.ReLU()(x - 0.5))),
    }[kind]  # fmt: skip


@pytest.mark.parametrize("kind", ["2D", "2D, channels first", "1D", "3D", "average", "two readers", "behind ReLU"])
def test_padded_zeros_can_be_the_maximum(kind):
    """ONNX Runtime's pad fusion makes them -infinity."""
    model = model_of(zeros_before_pooling(kind))
    content = convert(model)
    assert_same(model, content)
    assert ("Concat" in {node.op_type for node in graph_of(content).node}) == (
        kind not in ("1D", "average", "behind ReLU")
    )


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_padded_zeros_in_fewer_bits(precision):
    model = model_of(zeros_before_pooling("2D"))
    assert_same(model, convert(model, precision), 0.05)


def captured_tensor(x):
    return captured("operation")(x)


def celu(x):
    return lowered("celu")(x)


def infinite(x):
    from keras import ops

    return ops.where(ops.isinf(x), 0.0, x)


def padded(x):
    return lowered("pad to aspect ratio")(x)


FEWER_BITS = {
    "masked": RECURRENT["masked"],
    "cells": RECURRENT["cells"],
    "captured": captured_tensor,
    "blocked twice": celu,
    "sizes that are computed": padded,
    "no float16 in this opset": infinite,
}


@pytest.mark.parametrize("kind", FEWER_BITS)
@pytest.mark.parametrize(
    "precision",
    ["float16", pytest.param("dynamic_int8", marks=pytest.mark.slow), pytest.param("int8", marks=pytest.mark.slow)],
)
def test_fewer_bits(precision, kind):
    """ONNX Runtime's converters do not see what a body uses, and cast tensors more than once."""
    model = model_of(FEWER_BITS[kind])
    assert_same(model, convert(model, precision), {"float16": 0.005, "dynamic_int8": 0.05, "int8": 0.05}[precision])


def test_a_floored_quotient_is_of_two_numbers_rounded_alike():
    """ONNX Runtime leaves out the cast of the first to float16 and back: x divided by itself was 0.9998."""
    import keras
    from keras import ops

    inputs = keras.Input(SHAPE)
    quotients = ops.floor_divide(inputs, keras.layers.Permute((2, 1, 3))(inputs))
    model = keras.Model(inputs, keras.layers.Flatten()(quotients), name="own")
    images = np.random.default_rng(2).uniform(0.05, 4, (4, *SHAPE)).astype(np.float32)
    expected = np.asarray(model(images.astype(np.float16).astype(np.float32)))
    assert np.array_equal(scores(convert(model, "float16"), images), expected)


def test_a_range_that_is_not_finite_is_named():
    import keras
    from keras import ops

    model = model_of(lambda x: keras.layers.Rescaling(0.5, name="half")(ops.log(ops.relu(x - 0.5))))
    with pytest.raises(ExportError, match=r"Log \(layer/op\) gives NaN or infinity for the calibration images"):
        convert(model, "int8")


def test_a_constant_that_is_not_finite_stays_float():
    from keras import ops

    model = model_of(lambda x: ops.median(x, axis=1))  # it has NaN for images that have one
    assert_same(model, convert(model, "int8"), 0.05)


def test_the_census_counts_the_ops_of_bodies():
    census = FORMATS["onnx"].exporter().census(convert(model_of(RECURRENT["SimpleRNN backwards"]), "dynamic_int8"))
    assert census.ops["Loop"] == 1 and census.ops["Tanh"] == 1
    assert [name for name in census.float_ops if name.startswith("Tanh simple_rnn") and name.endswith("/Tanh")]


def test_what_only_bodies_read_depends_on_the_image():
    """`explain` reads the tensors that depend on the image."""
    graph = parser.parse_model(NESTED).graph
    assert [node.op_type for node in computed_nodes(graph, "image")] == ["Add", "If"]


UNSORTED = """
<ir_version: 8, opset_import: ["" : 17]>
agraph (float[1, 2] image) => (float[1, 2] y)
<bool yes = {1}>
{
    y = If (yes) <
        then_branch = one () => (float[1, 2] r) { r = Max (wide, w) },
        else_branch = two () => (float[1, 2] r) { s = Neg (wide) r = Cast <to = 1> (late) }
    >
    wide = Cast <to = 1> (a)
    wide = Cast <to = 1> (a)
    a = Add (image, image)
    late = Cast <to = 10> (s)
}
"""


def test_a_graph_that_a_converter_broke_is_repaired():
    model = parser.parse_model(UNSORTED)
    repair(model.graph, [numpy_helper.from_array(np.float32([3, 30]), "w")])
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in all_nodes(model.graph)] == ["Add", "Cast", "If", "Max", "Neg", "Cast", "Cast"]
    assert scores(model.SerializeToString(), np.float32([[5, 7]])).tolist() == [[10, 30]]
    repaired = model.SerializeToString(deterministic=True)
    repair(model.graph, [])
    assert model.SerializeToString(deterministic=True) == repaired


@pytest.mark.parametrize(("opset", "oldest"), [(13, "1.6"), (15, "1.9"), (18, "1.14")])
def test_another_opset(opset, oldest):
    model = model_of(lowered("Discretization"))
    record = replace(select("onnx", ["int8"])[0], opset=opset)
    content = FORMATS["onnx"].exporter().convert(model, record, 1, IMAGES)
    assert [item.version for item in onnx.load_from_string(content).opset_import if not item.domain] == [opset]
    assert_same(model, content, 0.05)
    assert runs_in("onnx", obstacles_in(content)) == {"onnxruntime": oldest}


@pytest.mark.parametrize("opset", [12, 19])
def test_an_opset_out_of_range_is_refused(opset):
    with pytest.raises(InputError, match=f"onnx int8: opset {opset}; expected 13 to 18"):
        replace(select("onnx", ["int8"])[0], opset=opset)


@pytest.mark.parametrize("kind", ["bicubic", "lanczos3"])
def test_resizing_with_an_open_batch(kind):
    model = model_of(lowered(kind))
    assert_same(model, convert(model, batch=None))


def refused(kind):
    from keras import layers, ops

    return {
        "no such op": lambda x: ops.erfinv(layers.Conv2D(2, 3, name="conv")(x)),
        "tf2onnx fails": lambda x: layers.MelSpectrogram(fft_length=64, name="mel")(layers.Flatten()(x)),
        "no graph": lambda x: ops.isin(ops.cast(x, "int32"), [1, 2]),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "no such op",
            r"'erfinv\w*' needs Erfinv, which ONNX opset 17 does not have; replace layer .*; TFLite lacks it too",
        ),
        (
            "tf2onnx fails",
            r"tf2onnx cannot convert layer 'mel' \(.*FFT.*\); replace layer 'mel', or try another format",
        ),
        ("no graph", r"TensorFlow cannot make a graph of IsIn \(.*\); replace it, or try another format"),
    ],
)
def test_what_onnx_cannot_do_is_named(kind, message, capfd, caplog):
    with pytest.raises(ExportError, match=message) as raised:
        convert(model_of(refused(kind)))
    assert "\n" not in str(raised.value)
    assert "not supported" not in capfd.readouterr().err and not caplog.records


@pytest.mark.parametrize("precision", ["float16", "dynamic_int8", "int8"])
def test_a_constant_answer(precision):
    import keras

    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, keras.layers.Flatten()(keras.ops.full_like(inputs, 0.5)), name="own")
    assert np.all(scores(convert(model, precision)) == 0.5)


def masked(x):
    import keras

    rows = keras.layers.Reshape((8, 24))(x)
    return keras.layers.Attention()([rows, rows], use_causal_mask=True)


def unit_rows(x):
    import keras

    return keras.layers.UnitNormalization(axis=-1, name="unit")(x)


def normalized(x):
    import keras

    return keras.layers.LayerNormalization(epsilon=1e-6)(x)


@pytest.mark.parametrize("build", [masked, unit_rows, normalized])
def test_what_eight_bits_cannot_hold_stays_float(build):
    """-1e9 in a mask, and 1 / sqrt(x) of a black image, take all steps of the range."""
    images = IMAGES.copy()
    images[0] = 0
    record, model = select("onnx", ["int8"])[0], model_of(build)
    content = FORMATS["onnx"].exporter().convert(lower(model, record, images).model, record, 1, images)
    assert_same(model, content, 0.06, images[1:])
    assert "QuantizeLinear" in {node.op_type for node in graph_of(content).node}
