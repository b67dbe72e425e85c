"""Count what an artifact's graph needs for one image: multiply-accumulates (MACs), parameters, bytes.

A reader per format turns a file into `Op`s, and `totals` adds them up. As usual, only convolutions and matrix products
have MACs. So LRN has MACs only where an export has replaced it by a convolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_edge.benchmark.results import Complexity

if TYPE_CHECKING:
    import keras
    import onnx

__all__ = [
    "Op", "complexity_of", "convolution_macs", "keras_complexity", "matrix_product_macs", "onnx_complexity",
    "tflite_complexity", "totals",
]  # fmt: skip

Shape = Sequence[int]
FLOAT32 = 4  # bytes


@dataclass(frozen=True)
class Op:
    """One op of a graph, for a whole batch.

    Attributes:
        constants: name -> (elements, bytes) of the constants that the op computes with. A constant that several ops
            use is counted once.
        moved: bytes of the activations that the op reads and writes.
    """

    macs: int = 0
    constants: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    moved: int = 0


def complexity_of(path: Path) -> Complexity | None:
    """Complexity of the file; None when its format has no reader, or the reader is not installed or fails."""
    reader = READERS.get(path.suffix)
    try:
        return None if reader is None else reader(path)
    except Exception:  # complexity is extra information: a failure here must not lose the measurement
        return None


def totals(ops: Iterable[Op], batch: int) -> Complexity:
    """The sum over `ops`, per image of a batch.

    >>> totals([Op(macs=80, constants={"w": (10, 40)}, moved=8), Op(macs=2, constants={"w": (10, 40)})], batch=2)
    {'macs': 41, 'parameters': 10, 'weight_bytes': 40, 'activation_bytes': 4}
    """
    macs, moved = 0, 0
    constants: dict[str, tuple[int, int]] = {}
    for op in ops:
        macs, moved = macs + op.macs, moved + op.moved
        constants.update(op.constants)
    return {
        "macs": macs // batch,
        "parameters": sum(elements for elements, _ in constants.values()),
        "weight_bytes": sum(size for _, size in constants.values()),
        "activation_bytes": moved // batch,
    }


def convolution_macs(output: Shape, filters: Shape, output_axis: int) -> int:
    """MACs of a convolution: one filter per output element.

    `output_axis`: the axis of `filters` that is the output channel. Grouped and depthwise convolutions are counted
    correctly, too.

    >>> convolution_macs((1, 14, 14, 32), (32, 3, 3, 16), output_axis=0)
    903168
    """
    return math.prod(output) * math.prod(filters) // filters[output_axis]


def matrix_product_macs(output: Shape, inner: int) -> int:
    """MACs of a matrix product: `inner` per output element.

    >>> matrix_product_macs((1, 10), inner=784)
    7840
    """
    return math.prod(output) * inner


def tflite_complexity(path: Path) -> Complexity:
    """From the ops that LiteRT's Interpreter lists. It uses the built-in kernels, because XNNPACK hides the ops that it
    takes over."""
    from fmnist_edge.runtime.engines.litert import LiteRTEngine

    engine = LiteRTEngine(str(path), kernels="BUILTIN_WITHOUT_DEFAULT_DELEGATES")
    tensors = {item["index"]: item for item in engine._interpreter.get_tensor_details()}
    alive = {engine._input_index}
    ops = []
    for op in engine._interpreter._get_ops_details():
        inputs, outputs = [[index for index in op[end] if index >= 0] for end in ("inputs", "outputs")]
        computes = not alive.isdisjoint(inputs)
        if computes:
            alive.update(outputs)
        ops.append(tflite_op(op["op_name"], inputs, outputs, tensors, alive, computes))
    return totals(ops, int(tensors[engine._input_index]["shape"][0]))


# The constants of these ops are shapes, axes and paddings, not parameters.
TFLITE_SHAPING = {
    "RESHAPE", "TRANSPOSE", "PAD", "PADV2", "MEAN", "SUM", "REDUCE_MAX", "SHAPE", "STRIDED_SLICE", "SLICE", "PACK",
    "CONCATENATION", "EXPAND_DIMS", "SQUEEZE", "BROADCAST_TO", "GATHER", "SPLIT", "QUANTIZE",
}  # fmt: skip


def tflite_op(
    name: str, inputs: list[int], outputs: list[int], tensors: dict[int, Any], alive: set[int], computes: bool
) -> Op:
    """Count one op. An op on constants alone, such as DEQUANTIZE of float16 weights, adds its constants and moves no
    activations. RESHAPE moves none either."""
    constants = {}
    if name not in TFLITE_SHAPING:
        for index in inputs:
            if index not in alive and tensors[index]["shape"].size:
                constants[str(index)] = (elements(tensors[index]), size(tensors[index]))
    made = [str(index) for index in outputs if not computes]
    moved = [index for index in (*inputs, *outputs) if index in alive] if computes and name != "RESHAPE" else []
    return Op(
        macs=tflite_macs(name, inputs, outputs, tensors) if computes else 0,
        constants={key: value for key, value in constants.items() if key not in made},
        moved=sum(size(tensors[index]) for index in moved),
    )


def tflite_macs(name: str, inputs: list[int], outputs: list[int], tensors: dict[int, Any]) -> int:
    shapes = [tensors[index]["shape"].tolist() for index in inputs]
    output = tensors[outputs[0]]["shape"].tolist() if outputs else []
    if name in ("CONV_2D", "DEPTHWISE_CONV_2D"):  # filters (O, h, w, I), depthwise (1, h, w, O)
        return convolution_macs(output, shapes[1], 0 if name == "CONV_2D" else 3)
    if name == "TRANSPOSE_CONV":  # (shape, filters (O, h, w, I), input): one filter per input element
        return convolution_macs(shapes[2], shapes[1], 3)
    if name == "FULLY_CONNECTED":  # weights (O, I)
        return matrix_product_macs(output, shapes[1][-1])
    if name == "BATCH_MATMUL":  # the left matrix may be transposed
        return matrix_product_macs(output, shapes[0][-1] if shapes[0][-2] == output[-2] else shapes[0][-2])
    return 0


def elements(detail: dict[str, Any]) -> int:
    return math.prod(detail["shape"].tolist())


def size(detail: dict[str, Any]) -> int:
    return elements(detail) * np.dtype(detail["dtype"]).itemsize


def onnx_complexity(path: Path) -> Complexity | None:
    """From ONNX's shape inference; a dynamic batch counts as 1. None when a needed shape is unknown."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    for item in model.graph.input:
        first = item.type.tensor_type.shape.dim[0]
        if not first.HasField("dim_value"):
            first.dim_value = 1
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = {item.name: tensor_info(item.type.tensor_type) for item in (*graph.value_info, *graph.input, *graph.output)}
    constants = {item.name: (tuple(item.dims), itemsize(item.data_type)) for item in graph.initializer}
    batch = known[graph.input[0].name][0][0]
    ops = [onnx_op(node, known, constants) for node in graph.node]
    return None if None in ops else totals([op for op in ops if op is not None], batch)


# Positions of the inputs that can be parameters. Other constant inputs are scales, shapes and axes.
ONNX_WEIGHTS = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul", "FusedConv"), (0, 1, 2)),
    **dict.fromkeys(("ConvInteger", "MatMulInteger", "Add", "Sub", "Mul", "Div", "PRelu"), (0, 1)),
    "BatchNormalization": (1, 2, 3, 4),
    "QLinearConv": (3, 8),
    "QLinearMatMul": (0, 3),
    "DequantizeLinear": (0,),
    "Cast": (0,),
}
ONNX_CONVOLUTIONS = {
    "Conv": 1,
    "FusedConv": 1,
    "ConvInteger": 1,
    "QLinearConv": 3,
}  # where the filters (O, I, h, w) are
ONNX_PRODUCTS = {"MatMul", "MatMulInteger", "Gemm", "QLinearMatMul"}
TensorInfo = tuple[tuple[int, ...], int]


def onnx_op(node: onnx.NodeProto, known: dict[str, TensorInfo], constants: dict[str, TensorInfo]) -> Op | None:
    """Count one node; None when a shape that it needs is unknown.

    A node on constants alone, such as DequantizeLinear of int8 weights, adds its outputs to `constants`, with 0 bytes.
    """
    if node.op_type == "Constant":
        tensor = next((item.t for item in node.attribute if item.name == "value"), None)
        constants[node.output[0]] = ((), 0) if tensor is None else (tuple(tensor.dims), itemsize(tensor.data_type))
        return Op()
    weights = [node.input[place] for place in ONNX_WEIGHTS.get(node.op_type, ()) if place < len(node.input)]
    used = {name: constants[name] for name in weights if name in constants and constants[name][1]}
    held = {name: (math.prod(shape), math.prod(shape) * width) for name, (shape, width) in used.items()}
    if all(name in constants for name in node.input if name):
        constants.update({name: (known.get(name, ((), 0))[0], 0) for name in node.output})
        return Op(constants=held)
    macs = onnx_macs(node, {**known, **constants})
    if macs is None:
        return None
    flowing = [known[name] for name in (*node.input, *node.output) if name in known and name not in constants]
    views = node.op_type in ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
    return Op(macs, held, 0 if views else sum(math.prod(shape) * width for shape, width in flowing))


def onnx_macs(node: onnx.NodeProto, shapes: dict[str, TensorInfo]) -> int | None:
    """MACs of a node; None when a shape is unknown."""
    kind = node.op_type
    try:
        output = shapes[node.output[0]][0]
        if kind in ONNX_CONVOLUTIONS:
            return convolution_macs(output, shapes[node.input[ONNX_CONVOLUTIONS[kind]]][0], 0)
        if kind == "ConvTranspose":  # filters (I, O, h, w): one filter per input element
            return convolution_macs(shapes[node.input[0]][0], shapes[node.input[1]][0], 0)
        if kind in ONNX_PRODUCTS:
            transposed = any(item.name == "transA" and item.i for item in node.attribute)
            return matrix_product_macs(output, shapes[node.input[0]][0][0 if transposed else -1])
    except (KeyError, IndexError):
        return None
    return 0


def tensor_info(tensor: onnx.ValueInfoProto) -> TensorInfo:
    return tuple(axis.dim_value for axis in tensor.shape.dim), itemsize(tensor.elem_type)


def itemsize(data_type: int) -> int:
    from onnx import helper

    return np.dtype(helper.tensor_dtype_to_np_dtype(data_type)).itemsize if data_type else 0


def keras_complexity(path: Path) -> Complexity:
    from fmnist_edge.checkpoints import load

    return keras_model_complexity(load(path).model)


def keras_model_complexity(model: keras.Model) -> Complexity:
    """Layer by layer. Layers that are no convolution and not Dense, such as LRN, have no MACs."""
    ops = []
    for layer in model.layers:
        calls = layer._inbound_nodes
        given = [one_image(tensor.shape) for tensor in calls[0].input_tensors] if calls else []
        made = [one_image(tensor.shape) for tensor in calls[0].output_tensors] if calls else []
        weights = [tuple(weight.shape) for weight in layer.weights]
        constants = {
            weight.path: (math.prod(weight.shape), FLOAT32 * math.prod(weight.shape)) for weight in layer.weights
        }
        moved = FLOAT32 * sum(math.prod(shape) for shape in (*given, *made))
        ops.append(Op(keras_macs(type(layer).__name__, given, made, weights), constants, moved if given else 0))
    return totals(ops, 1)


def one_image(shape: Sequence[int | None]) -> tuple[int, ...]:
    return tuple(size or 1 for size in shape)


def keras_macs(kind: str, given: Sequence[Shape], made: Sequence[Shape], weights: Sequence[Shape]) -> int:
    output = made[0] if made else ()
    if kind == "Conv2D":  # kernel (h, w, I, O)
        return convolution_macs(output, weights[0], 3)
    if kind == "DepthwiseConv2D":  # kernel (h, w, I, multiplier)
        return math.prod(output) * math.prod(weights[0][:2])
    if kind == "SeparableConv2D":
        middle = math.prod(output[:-1]) * weights[0][2] * weights[0][3]
        return middle * math.prod(weights[0][:2]) + matrix_product_macs(output, weights[1][2])
    if kind == "Conv2DTranspose":  # kernel (h, w, O, I): one filter per input element
        return convolution_macs(given[0], weights[0], 3)
    return matrix_product_macs(output, weights[0][0]) if kind == "Dense" else 0


READERS: dict[str, Callable[[Path], Complexity | None]] = {
    ".tflite": tflite_complexity,
    ".onnx": onnx_complexity,
    ".keras": keras_complexity,
}
