"""Repair what TensorFlow's converter writes wrongly into a `.tflite` file; a sound file stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np

from fmnist_edge.exporters.flatbuffer import op_kinds, pack, schema_module, unpack

__all__ = ["with_own_biases", "with_small_constants", "without_squeezes"]

# Ops with a bias -> where their inputs, weights and bias are among the op's inputs.
OPERANDS = {
    "CONV_2D": (0, 1, 2),
    "CONV_3D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
SAME_SCALE = 1e-4  # relative
BROADCASTING = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM")


def with_own_biases(content: bytes) -> bytes:
    """A quantised file in which each op has a bias in its own scale.

    Kernels add the integers of a bias to sums of products, and take the scale of these: of the input times of the
    weights. The converter quantises a bias that several ops share for the first of them, such as that of a recurrent
    layer's steps, or of a layer that is called twice, and so it is too small or too large for the others.
    """
    model = unpack(content)
    changed = False
    for number, graph in enumerate(model.subgraphs):
        made: dict[tuple[int, bytes], int] = {}
        for kind, op in zip(op_kinds(model, number), graph.operators, strict=True):
            places = OPERANDS.get(kind)
            if places is None or len(op.inputs) <= places[2] or op.inputs[places[2]] < 0:
                continue
            inputs, weights, bias = (graph.tensors[op.inputs[place]] for place in places)
            scales = [scale_of(tensor) for tensor in (inputs, weights, bias)]
            if not all(map(len, scales)) or model.buffers[bias.buffer].data is None:
                continue
            wanted = (scales[0] * scales[1]).astype(np.float32)
            if np.allclose(wanted, scales[2], rtol=SAME_SCALE, atol=0):
                continue
            key = int(op.inputs[places[2]]), wanted.tobytes()
            if key not in made:
                made[key] = add_bias(model, graph, bias, wanted)
            op.inputs = [made[key] if place == places[2] else index for place, index in enumerate(op.inputs)]
            changed = True
    return pack(model) if changed else content


def with_small_constants(content: bytes, float_content: Callable[[], bytes]) -> bytes:
    """A float16 file in which constants that float16 does not hold are float32, as 1e-10 in front of a logarithm.

    float16 makes 0 of what is below 3e-8, and loses digits below 6e-5. Weights and biases of convolutions and matrix
    products are left as they are: next to larger ones it makes no difference.

    Args:
        float_content: makes the float32 file of the same model; called only if there is such a constant.
    """
    model = unpack(content)
    suspects = [
        (number, position, place)
        for number, graph in enumerate(model.subgraphs)
        for position, (kind, op) in enumerate(computing(model, number))
        if kind not in OPERANDS
        for place, index in enumerate(op.inputs)
        if is_too_small(model, graph, int(index))
    ]
    if not suspects:
        return content
    exact = unpack(float_content())
    changed = False
    for number, position, place in suspects:
        kinds, exact_kinds = ([kind for kind, _ in computing(item, number)] for item in (model, exact))
        if kinds != exact_kinds:
            continue
        op, source = computing(model, number)[position][1], computing(exact, number)[position][1]
        tensor = exact.subgraphs[number].tensors[source.inputs[place]]
        data = exact.buffers[tensor.buffer].data
        if data is None or not np.any(np.asarray(data)):
            continue  # zeros are zeros
        buffer = schema_module().BufferT()
        buffer.data = data
        model.buffers.append(buffer)
        added = copy(tensor)
        added.buffer = len(model.buffers) - 1
        tensors = model.subgraphs[number].tensors
        tensors.append(added)
        op.inputs = [len(tensors) - 1 if at == place else index for at, index in enumerate(op.inputs)]
        changed = True
    return pack(model) if changed else content


def without_squeezes(content: bytes) -> bytes:
    """A file whose elementwise ops read a tensor of one pixel, (1, ..., 1, n), as it is.

    TensorFlow makes a bias of y in x + y where y is one pixel, and squeezes it to (n,). The sum is the same without,
    but (n,) has no batch axis, and so engines that know nothing but images refuse it.
    """
    model = unpack(content)
    changed = False
    for number, graph in enumerate(model.subgraphs):
        ops = list(zip(op_kinds(model, number), graph.operators, strict=True))
        outputs = set(map(int, graph.outputs))
        squeezes = [op for kind, op in ops if kind == "RESHAPE" and is_squeeze(graph, op)]
        for squeeze in squeezes:
            readers = [(kind, op) for kind, op in ops if squeeze.outputs[0] in op.inputs]
            rank = len(graph.tensors[squeeze.inputs[0]].shape)
            whole = all(
                kind in BROADCASTING and len(graph.tensors[op.outputs[0]].shape) >= rank for kind, op in readers
            )
            if whole and int(squeeze.outputs[0]) not in outputs:
                for _, op in readers:
                    op.inputs = [squeeze.inputs[0] if index == squeeze.outputs[0] else index for index in op.inputs]
                graph.operators.remove(squeeze)
                changed = True
    return pack(model) if changed else content


def is_squeeze(graph: Any, op: Any) -> bool:
    """Whether a RESHAPE makes (n,) of a computed (1, ..., 1, n)."""
    source, target = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    shape = tuple(source.shape)
    return shape[:-1] == (1,) * (len(shape) - 1) != () and tuple(target.shape) == shape[-1:]


def computing(model: Any, number: int) -> list[tuple[str, Any]]:
    """(kind, op) of a subgraph's ops without DEQUANTIZE, which stands behind each float16 constant."""
    ops = zip(op_kinds(model, number), model.subgraphs[number].operators, strict=True)
    return [(kind, op) for kind, op in ops if kind != "DEQUANTIZE"]


def is_too_small(model: Any, graph: Any, index: int) -> bool:
    """Whether a tensor is a float16 constant, dequantised, without a value that float16 holds with all its digits."""
    types = schema_module().TensorType
    for kind, op in zip(op_kinds(model, model.subgraphs.index(graph)), graph.operators, strict=True):
        if kind == "DEQUANTIZE" and index in op.outputs:
            tensor = graph.tensors[op.inputs[0]]
            data = model.buffers[tensor.buffer].data
            if tensor.type == types.FLOAT16 and data is not None:
                values = np.asarray(data, np.uint8).view(np.float16)
                return bool(np.abs(values).max(initial=0) < np.finfo(np.float16).tiny)
    return False


def scale_of(tensor: Any) -> np.ndarray:
    """float64 (1,) or (channels,); empty for a tensor that is not quantised."""
    scale = None if tensor.quantization is None else tensor.quantization.scale
    return np.asarray([] if scale is None else scale, np.float64)


def add_bias(model: Any, graph: Any, bias: Any, scale: np.ndarray) -> int:
    """Add `bias`, a TensorT, in another scale to a graph; returns its index."""
    dtype = np.int64 if bias.type == schema_module().TensorType.INT64 else np.int32
    values = np.asarray(model.buffers[bias.buffer].data, np.uint8).view(dtype) * scale_of(bias)
    limits = np.iinfo(np.int32)  # the 64-bit kernels of convolutions add 32 bits too
    integers = np.clip(np.rint(values / scale), limits.min, limits.max).astype(dtype)
    buffer = schema_module().BufferT()
    buffer.data = np.frombuffer(integers.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor = copy(bias)
    tensor.buffer, tensor.quantization = len(model.buffers) - 1, copy(bias.quantization)
    tensor.quantization.scale = np.broadcast_to(scale, (len(scale_of(bias)),)).astype(np.float32)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1
