"""Activations in ONNX int8: one rounding for each function."""

from dataclasses import replace

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from onnx import numpy_helper, parser
from support.keras_models import randomised

from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.exporters.lowering import lower
from fmnist_edge.exporters.onnx import EXPORTER
from fmnist_edge.exporters.onnx_activations import depthwise_weights, float_functions, fuse_hard_activations

SAMPLE = np.random.default_rng(1).normal(size=(60, 8, 8, 3)).astype(np.float32)
INT8 = get_precision("onnx", "int8")


def model_of(activation):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same")(inputs)
    x = layers.Conv2D(8, 3)(activation(x))
    return randomised(keras.Model(inputs, layers.Flatten()(x)))


def int8(model, opset=None):
    precision = replace(INT8, opset=opset)
    return EXPORTER.convert(lower(model, precision, SAMPLE).model, precision, 1, SAMPLE)


def error(model, content):
    """The error of the answers in decibels below the answers."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    expected = np.asarray(model(SAMPLE))
    found = np.concatenate([session.run(None, {"image": image[None]})[0] for image in SAMPLE])
    return 10 * np.log10(np.mean(np.square(expected)) / np.mean(np.square(found - expected)))


def roundings(content):
    return sum(node.op_type == "QuantizeLinear" for node in onnx.load_from_string(content).graph.node)


@pytest.mark.parametrize("name", ["hard_swish", "gelu", "elu", "selu", "mish", "hard_sigmoid"])
def test_a_function_is_rounded_once(name):
    model = model_of(layers.Activation(name))
    content = int8(model)
    assert error(model, content) > 33
    assert roundings(content) == roundings(int8(model_of(layers.Activation("tanh"))))


def test_shared_slopes():
    model = model_of(layers.PReLU(shared_axes=[1, 2]))
    model.layers[2].set_weights([np.linspace(-0.5, 0.9, 8).reshape(1, 1, 8)])
    assert error(model, int8(model)) > 33


def test_hard_swish_is_one_op_and_a_float_op():
    x = layers.Activation("hard_swish")
    content = int8(model_of(x))
    census = EXPORTER.census(content)
    assert census.ops["HardSwish"] == 1
    assert {"Clip", "Add", "Mul"}.isdisjoint(census.ops)
    assert [op.split()[0] for op in census.float_ops] == ["HardSwish"]
    names = {name for node in onnx.load_from_string(content).graph.node for name in node.input}
    assert {item.name for item in onnx.load_from_string(content).graph.initializer} <= names


def test_opset_13_has_hard_sigmoid_alone():
    ops = EXPORTER.census(int8(model_of(layers.Activation("hard_swish")), opset=13)).ops
    assert (ops["HardSigmoid"], ops["Mul"], "HardSwish" in ops) == (1, 1, False)


def hard(clip="0, 6", shift="3", factor="0.16666667", tail=""):
    low, high = clip.split(", ")
    return parser.parse_graph(f"""
        g (float[4] x) => (float[4] y)
        <float[1] three = {{{shift}}}, float low = {{{low}}}, float high = {{{high}}}, float sixth = {{{factor}}}>
        {{ a = Add(x, three) b = Clip(a, low, high) c = Mul(sixth, b) y = Mul(x, c) {tail} }}
    """)


def kinds(graph):
    return [node.op_type for node in graph.node]


def test_only_hard_sigmoids_are_fused():
    graph = hard()
    fuse_hard_activations(graph, 17)
    assert kinds(graph) == ["HardSwish"]
    for other in (hard(clip="0, 5"), hard(shift="2"), hard(factor="0.2")):
        before = kinds(other)
        fuse_hard_activations(other, 17)
        assert kinds(other) == before


def test_what_others_read_stays():
    graph = hard(tail="d = Relu(b)")
    graph.output.append(onnx.helper.make_tensor_value_info("d", 1, [4]))
    before = kinds(graph)
    fuse_hard_activations(graph, 17)
    assert kinds(graph) == before


def test_functions_of_one_tensor():
    """`total` adds two tensors, so it stays in integers, as does the sigmoid of a swish."""
    graph = parser.parse_graph("""
        g (float[4] x, float[4] z) => (float[4] y, float[4] swish) <float one = {1}> {
            [total] t = Add(x, z)
            [erf] a = Erf(t)
            [plus] b = Add(a, one)
            [times] y = Mul(t, b)
            [gate] s = Sigmoid(z)
            [product] swish = Mul(s, z)
        }
    """)
    for node, name in zip(graph.node, ("total", "erf", "plus", "times", "gate", "product"), strict=True):
        node.name = name
    assert float_functions(graph) == ["plus", "times"]


def test_depthwise_weights_have_all_eight_bits():
    """Seven bits keep AVX2's 16-bit sums from saturating, which the depthwise kernel does not have."""
    inputs = keras.Input((8, 8, 3))
    x = layers.DepthwiseConv2D(3, name="deep")(layers.Conv2D(8, 3, name="wide")(inputs))
    graph = onnx.load_from_string(int8(randomised(keras.Model(inputs, layers.Flatten()(x))))).graph
    largest = {
        item.name.partition("/")[0]: np.abs(numpy_helper.to_array(item).astype(int)).max()
        for item in graph.initializer
        if item.data_type == onnx.TensorProto.INT8 and len(item.dims) == 4
    }
    assert largest == {"wide": 64, "deep": 127}
    assert depthwise_weights(graph) == []
