"""Packing a .tflite file: equal parts are stored once, nothing is lost, and weights are aligned as kernels need."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from support.linear import linear_tflite

from fmnist_edge.exporters.flatbuffer import BUFFER_ALIGNMENT, pack, unpack

PRECISIONS = ("float32", "dynamic_int8", "int8", "int16x8")


@pytest.fixture(scope="module", params=PRECISIONS)
def content(request):
    return linear_tflite(request.param)


def described(value):
    """A flatbuffer's objects as plain values that can be compared."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    if isinstance(value, list):
        return [described(item) for item in value]
    if hasattr(value, "__dict__"):
        return {name: described(item) for name, item in vars(value).items()}
    return value


def test_packing_keeps_the_content(content):
    packed = pack(unpack(content))
    assert described(unpack(packed)) == described(unpack(content))
    assert len(packed) <= len(content) + BUFFER_ALIGNMENT * len(unpack(packed).buffers)


def test_packing_twice_changes_nothing(content):
    packed = pack(unpack(content))
    assert pack(unpack(packed)) == packed


def test_weights_are_aligned(content):
    packed = pack(unpack(content))
    for buffer in unpack(packed).buffers:
        if buffer.data is not None and len(buffer.data) > 64:
            place = packed.find(buffer.data.tobytes())
            assert place % BUFFER_ALIGNMENT == 0


def test_an_engine_gives_the_same_scores(content):
    answers = []
    for file in (content, pack(unpack(content))):
        interpreter = Interpreter(model_content=file)
        interpreter.allocate_tensors()
        entry = interpreter.get_input_details()[0]
        image = np.random.default_rng(1).integers(0, 100, entry["shape"]).astype(entry["dtype"])
        interpreter.set_tensor(entry["index"], image)
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    assert np.array_equal(*answers)


def test_equal_vectors_and_names_are_stored_once():
    model = unpack(linear_tflite("int8"))
    once = len(pack(model))
    for tensor in model.subgraphs[0].tensors:
        tensor.name = b"the same name, and a long one, for every tensor of the graph"
        tensor.quantization.scale = np.full(1000, 0.25, np.float32)
    again = len(pack(model))
    assert again < once + 4000 + 200
