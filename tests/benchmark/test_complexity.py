"""MACs, parameters and bytes against counts made by hand, per format, and the formats against one another."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT
from support.bench_models import write_onnx, write_tflite

from fmnist_edge.benchmark import complexity
from fmnist_edge.benchmark.complexity import Op, convolution_macs, matrix_product_macs, totals

SIZE = st.integers(1, 8)

LINEAR = {"macs": 7840, "parameters": 7840, "weight_bytes": 31_360, "activation_bytes": 4 * (784 + 10)}


@given(SIZE, SIZE, SIZE, SIZE, SIZE, SIZE)
def test_a_convolution_is_a_matrix_product_per_position(height, width, inputs, outputs, rows, columns):
    found = convolution_macs((1, height, width, outputs), (outputs, rows, columns, inputs), output_axis=0)
    assert found == height * width * outputs * rows * columns * inputs
    assert found == height * width * matrix_product_macs((1, outputs), rows * columns * inputs)


@given(SIZE, SIZE, SIZE)
def test_depthwise_is_one_filter_per_channel(size, channels, kernel):
    depthwise = convolution_macs((1, size, size, channels), (1, kernel, kernel, channels), output_axis=3)
    assert depthwise == size * size * channels * kernel * kernel
    grouped = convolution_macs((1, channels, size, size), (channels, 1, kernel, kernel), output_axis=0)
    assert grouped == depthwise


@given(st.lists(st.tuples(SIZE, st.sampled_from("abc"), SIZE)), SIZE)
def test_totals_are_sums_and_a_shared_constant_counts_once(ops, batch):
    sizes = {"a": (1, 4), "b": (2, 8), "c": (3, 3)}
    made = [Op(macs * batch, {name: sizes[name]}, moved * batch) for macs, name, moved in ops]
    names = {name for _, name, _ in ops}
    assert totals(made, batch) == {
        "macs": sum(macs for macs, _, _ in ops),
        "parameters": sum(sizes[name][0] for name in names),
        "weight_bytes": sum(sizes[name][1] for name in names),
        "activation_bytes": sum(moved for _, _, moved in ops),
    }


@pytest.mark.parametrize("batch", [1, 3])
def test_a_linear_onnx_file_is_as_counted_by_hand(tmp_path, batch):
    assert complexity.complexity_of(write_onnx(tmp_path / "a.onnx", batch)) == LINEAR


def test_a_linear_tflite_file_is_as_counted_by_hand(tmp_path):
    found = complexity.complexity_of(write_tflite(tmp_path / "a.tflite"))
    assert found["macs"] == 7840
    assert found["parameters"] in (7840, 7850)  # the converter may leave a bias of zeros out
    assert found["activation_bytes"] == LINEAR["activation_bytes"]


@pytest.mark.slow
def test_precisions_change_bytes_and_no_macs(linear_models):
    read = [name for name, path in linear_models.items() if path.suffix in complexity.READERS]
    found = {name: complexity.complexity_of(linear_models[name]) for name in read}
    assert {item["macs"] for item in found.values()} == {7840}
    assert {item["parameters"] for item in found.values()} == {7850}
    assert found["float32.tflite"]["weight_bytes"] == found["dynamic.onnx"]["weight_bytes"] == 4 * 7850
    assert found["int8.tflite"]["weight_bytes"] == 7840 + 4 * 10
    assert found["batch8.onnx"] == found["float32.onnx"]


def keras_model(layers):
    import keras

    inputs = keras.Input((12, 10, 4), batch_size=1)
    outputs = inputs
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def layers_of(kind):
    import keras

    make = keras.layers
    return {
        # (layers, MACs by hand)
        "same": ([make.Conv2D(6, 3, padding="same")], 12 * 10 * 6 * 3 * 3 * 4),
        "valid strided": ([make.Conv2D(6, (3, 2), strides=2)], 5 * 5 * 6 * 3 * 2 * 4),
        "grouped": ([make.Conv2D(6, 3, groups=2)], 10 * 8 * 6 * 3 * 3 * 2),
        "depthwise": ([make.DepthwiseConv2D(3, depth_multiplier=2)], 10 * 8 * 8 * 3 * 3),
        "separable": ([make.SeparableConv2D(5, 3)], 10 * 8 * 4 * 3 * 3 + 10 * 8 * 5 * 4),
        "transposed": ([make.Conv2DTranspose(5, 3, strides=2, padding="same")], 12 * 10 * 4 * 3 * 3 * 5),
        "dense": ([make.Flatten(), make.Dense(7), make.ReLU()], 480 * 7),
        "dense on pixels": ([make.Dense(7)], 12 * 10 * 4 * 7),
        "no arithmetic": ([make.MaxPooling2D(), make.Flatten()], 0),
    }[kind]


KINDS = (
    "same", "valid strided", "grouped", "depthwise", "separable", "transposed", "dense", "dense on pixels",
    "no arithmetic",
)  # fmt: skip
MORE = ("valid strided", "grouped", "separable", "dense on pixels", "no arithmetic")  # of kinds that others show


@pytest.mark.parametrize("kind", [pytest.param(it, marks=[pytest.mark.slow] if it in MORE else []) for it in KINDS])
def test_layers_are_as_counted_by_hand_in_keras_tflite_and_onnx(tmp_path, kind):
    import tensorflow as tf
    import tf2onnx

    from fmnist_edge.exporters.exporter import quiet

    layers, macs = layers_of(kind)
    model = keras_model(layers)
    found = complexity.keras_model_complexity(model)
    assert found["macs"] == macs
    assert found["parameters"] == sum(math.prod(weight.shape) for weight in model.weights)
    tflite, onnx = tmp_path / "a.tflite", tmp_path / "a.onnx"
    with quiet():
        tflite.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
        if kind != "grouped":  # tf2onnx has no such op
            tf2onnx.convert.from_keras(model, output_path=str(onnx))
    assert complexity.tflite_complexity(tflite)["macs"] == macs
    assert kind == "grouped" or complexity.onnx_complexity(onnx)["macs"] == macs


def onnx_file(path, node, inputs, weights):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(weights, np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_onnx_ops_that_no_converter_makes_here_are_as_counted_by_hand(tmp_path):
    from onnx import helper

    grouped = helper.make_node("Conv", ["x", "w"], ["y"], group=2, pads=[1, 1, 1, 1])
    found = complexity.onnx_complexity(onnx_file(tmp_path / "a.onnx", grouped, [1, 4, 6, 6], (10, 2, 3, 3)))
    assert found == {
        "macs": 6 * 6 * 10 * 2 * 9, "parameters": 180, "weight_bytes": 720, "activation_bytes": 4 * 36 * (4 + 10),
    }  # fmt: skip
    upward = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    found = complexity.onnx_complexity(onnx_file(tmp_path / "b.onnx", upward, ["n", 4, 6, 6], (4, 5, 3, 3)))
    assert found["macs"] == 6 * 6 * 4 * 5 * 9
    product = helper.make_node("Gemm", ["x", "w"], ["y"], transA=1)
    assert complexity.onnx_complexity(onnx_file(tmp_path / "c.onnx", product, [1, 8], (1, 3)))["macs"] == 8 * 3 * 1
    unknown = helper.make_node("MatMul", ["z", "w"], ["y"])
    assert complexity.onnx_complexity(onnx_file(tmp_path / "d.onnx", unknown, [1, 7], (7, 3))) is None


def test_compact_cnn_is_as_counted_by_hand_in_every_format():
    convolutions = 26 * 26 * 34 * 9 * 1 + 11 * 11 * 22 * 9 * 34 + 9 * 9 * 12 * 9 * 22
    dense = 972 * 95 + 95 * 40 + 40 * 24 + 24 * 10
    for name in (
        "exported/compact_cnn/float32.onnx",
        "exported/compact_cnn/int8.tflite",
        "trained_model/compact_cnn.keras",
    ):
        found = complexity.complexity_of(ROOT / name)
        assert (found["macs"], found["parameters"]) == (convolutions + dense, 106_991), name


def test_what_cannot_be_read_has_no_figures(tmp_path):
    for name in ("a.onnx", "a.tflite", "a.keras", "a.ncnn"):
        (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(500))
        assert complexity.complexity_of(tmp_path / name) is None
    assert complexity.complexity_of(tmp_path / "none.onnx") is None
