"""Every tensor of an int8 export has the range that the calibration images produce in it."""

import numpy as np
import pytest

from fmnist_edge.catalog.precisions import select
from fmnist_edge.exporters.activation_ranges import measure
from fmnist_edge.exporters.flatbuffer import schema_module, unpack
from fmnist_edge.exporters.tflite import EXPORTER, fixed_batch, make_converter


@pytest.fixture(scope="module")
def chain():
    """Elementwise ops with very different ranges; each can reuse the memory of the op before."""
    import keras

    class Chain(keras.layers.Layer):
        def call(self, x):
            small = keras.ops.sigmoid(x) * np.float32(0.02)
            return (small + np.float32(0.01)) * np.float32(50)

    inputs = keras.Input((4, 4, 1), name="image")
    x = keras.layers.Conv2D(2, 1, kernel_initializer="ones", name="conv")(inputs)
    return keras.Model(inputs, Chain(name="chain")(x), name="chained")


@pytest.fixture(scope="module")
def images():
    return np.linspace(-1, 1, 8 * 16, dtype=np.float32).reshape(8, 4, 4, 1)


def ranges(content):
    """(op, smallest and largest number that its output can represent) for each op of an int8 file."""
    schema, model = schema_module(), unpack(content)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    graph, found = model.subgraphs[0], []
    for op in graph.operators:
        quantization = graph.tensors[op.outputs[0]].quantization
        scale, zero = quantization.scale[0], quantization.zeroPoint[0]
        code = model.operatorCodes[op.opcodeIndex]
        kind = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        found.append((kind, float((-128 - zero) * scale), float((127 - zero) * scale)))
    return found


def test_no_tensor_gets_the_range_of_its_reader(chain, images):
    (precision,) = select("tflite", ["int8"])
    (conv, sigmoid, small, more, large) = ranges(EXPORTER.convert(chain, precision, 1, images))
    top = 1 / (1 + np.exp(-1.0))
    assert [kind for kind, _, _ in (conv, sigmoid, small, more, large)] == ["CONV_2D", "LOGISTIC", "MUL", "ADD", "MUL"]
    assert small[2] == pytest.approx(0.02 * top, rel=0.02)  # the converter's calibrator gives 0.0246, then 1.23
    assert more[2] == pytest.approx(0.01 + 0.02 * top, rel=0.02)
    assert large[2] == pytest.approx(0.5 + top, rel=0.02)


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
def test_ranges_cover_all_images_not_only_the_converters_one(chain, images):
    converter = make_converter(fixed_batch(chain, 1), select("tflite", ["int8"])[0], images[:1])
    converter._experimental_calibrate_only = True
    content = converter.convert()
    tensors = unpack(measure(content, (image[None] for image in images)).content).subgraphs[0].tensors
    before = {tensor.name: tensor.quantization for tensor in unpack(content).subgraphs[0].tensors}
    (conv,) = (tensor for tensor in tensors if b"conv" in tensor.name and len(tensor.shape) == 4 and has_range(tensor))
    assert (conv.quantization.min[0], conv.quantization.max[0]) == (-1, 1)
    assert before[conv.name].max[0] < 0.5  # the first image is the darkest


def has_range(tensor):
    return tensor.quantization is not None and tensor.quantization.min is not None
