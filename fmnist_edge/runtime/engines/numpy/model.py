"""Parse the tensors and ops of a `.tflite` file.

Field numbers are from tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fmnist_edge.runtime.flatbuffer import RefusedError, Table, root

__all__ = ["Model", "Op", "Quantization", "Tensor", "read_model"]

DTYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 7: "int16", 9: "int8"}
KINDS = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE",
    9: "FULLY_CONNECTED", 13: "LOCAL_RESPONSE_NORMALIZATION", 14: "LOGISTIC", 17: "MAX_POOL_2D", 18: "MUL", 19: "RELU",
    20: "RELU_N1_TO_1", 21: "RELU6", 22: "RESHAPE", 25: "SOFTMAX", 28: "TANH", 34: "PAD", 40: "MEAN", 41: "SUB",
    43: "SQUEEZE", 45: "STRIDED_SLICE", 47: "EXP", 54: "PRELU", 55: "MAXIMUM", 57: "MINIMUM", 70: "EXPAND_DIMS",
    76: "RSQRT", 77: "SHAPE", 83: "PACK", 92: "SQUARE", 98: "LEAKY_RELU", 114: "QUANTIZE", 117: "HARD_SWISH",
    150: "GELU",
}  # fmt: skip

# Limits on a file, far above the needs of a network for a small device. Together they bound memory and time.
MOST_TENSORS = 8192
MOST_OPS = 2048
MOST_OPERANDS = 64
MOST_AXES = 6


@dataclass(frozen=True)
class Quantization:
    """real = (quantised - zero_point) * scale. float32 and int64 arrays: (1,) or one value per index of `axis`."""

    scales: np.ndarray
    zero_points: np.ndarray
    axis: int

    @property
    def scale(self) -> float:
        """The scale of a tensor with a single scale."""
        return float(self.scales[0])

    @property
    def zero_point(self) -> int:
        return int(self.zero_points[0])


@dataclass(frozen=True)
class Tensor:
    """A tensor as the file declares it. `data`: a constant's read-only array of `shape`; None if it is computed."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None
    data: np.ndarray | None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def limits(self) -> tuple[int, int]:
        """Least and largest integer of its dtype."""
        info = np.iinfo(self.dtype)
        return int(info.min), int(info.max)

    def per_tensor(self) -> Quantization:
        """Its quantisation. Raises RefusedError when it has no scale or several."""
        if self.quantization is None or len(self.quantization.scales) != 1:
            raise RefusedError(f"tensor {self.name!r} ({self.dtype}) needs exactly one scale and zero point")
        return self.quantization


@dataclass(frozen=True)
class Op:
    """One op: its kind, its operands (None for an omitted one) and its options table."""

    kind: str
    inputs: tuple[Tensor | None, ...]
    output: Tensor
    options: Table | None

    def operand(self, number: int) -> Tensor:
        found = self.inputs[number] if number < len(self.inputs) else None
        if found is None:
            raise RefusedError(f"damaged: {self.kind} {self.output.name!r} has no operand {number}")
        return found

    def optional(self, number: int) -> Tensor | None:
        return self.inputs[number] if number < len(self.inputs) else None

    def constant(self, number: int) -> np.ndarray:
        data = self.operand(number).data
        if data is None:
            raise RefusedError(f"{self.kind} {self.output.name!r} has a computed operand {number}; expected a constant")
        return data

    def check_output_shape(self, shape: tuple[int, ...]) -> None:
        """Raises RefusedError unless the declared output has this shape per image."""
        if self.output.shape[1:] != shape:
            declared = self.output.shape[1:]
            raise RefusedError(
                f"damaged: {self.kind} {self.output.name!r} declares {declared} per image and computes {shape}"
            )

    def integer(self, field: int, kind: str, default: int = 0) -> int:
        return default if self.options is None else self.options.integer(field, kind, default)

    def real(self, field: int, default: float = 0.0) -> float:
        value = default if self.options is None else self.options.real(field, default)
        if not math.isfinite(value):
            raise RefusedError(f"damaged: {self.kind} {self.output.name!r} has {value} among its options")
        return value


@dataclass(frozen=True)
class Model:
    """The only graph of a file, with its ops in execution order."""

    input: Tensor
    output: Tensor
    ops: tuple[Op, ...]


def read_model(content: bytes) -> Model:
    """Parse a file's content. Raises RefusedError when it is damaged, unsupported or too large."""
    model = root(content)
    codes = [kind_of(code) for code in model.tables(1, MOST_OPS)]
    graphs = model.tables(2, 1)
    if not graphs:
        raise RefusedError("damaged: no graph in it")
    buffers = model.tables(4, 2 * MOST_TENSORS)
    tensors = [tensor(index, table, buffers) for index, table in enumerate(graphs[0].tables(0, MOST_TENSORS))]
    ops = tuple(op(table, codes, tensors) for table in graphs[0].tables(3, MOST_OPS))
    return Model(only_tensor(graphs[0], 1, "input", tensors), only_tensor(graphs[0], 2, "output", tensors), ops)


def kind_of(code: Table) -> str:
    """The name of an op; "builtin op N" for one that this engine does not have. Newer files use the wider field."""
    number = max(code.integer(0, "int8"), code.integer(3, "int32"))
    return KINDS.get(number) or f"builtin op {number}"


def only_tensor(graph: Table, field: int, kind: str, tensors: list[Tensor]) -> Tensor:
    indices = graph.integers(field, MOST_OPERANDS) or ()
    if len(indices) != 1:
        raise RefusedError(f"the model has {len(indices)} {kind}s; expected exactly 1")
    return at(tensors, indices[0], kind)


def at(tensors: list[Tensor], index: int, what: str) -> Tensor:
    if not 0 <= index < len(tensors):
        raise RefusedError(f"damaged: {what} is tensor {index}, of {len(tensors)}")
    return tensors[index]


def op(table: Table, codes: list[str], tensors: list[Tensor]) -> Op:
    code = table.integer(0, "uint32")
    if code >= len(codes):
        raise RefusedError(f"damaged: an op of kind {code}, of {len(codes)}")
    kind = codes[code]
    inputs = table.integers(1, MOST_OPERANDS) or ()
    outputs = table.integers(2, MOST_OPERANDS) or ()
    if len(outputs) != 1:
        raise RefusedError(f"an op {kind} with {len(outputs)} outputs; expected 1")
    operands = tuple(None if index == -1 else at(tensors, index, f"an operand of {kind}") for index in inputs)
    return Op(kind, operands, at(tensors, outputs[0], f"the output of {kind}"), table.table(4))


def tensor(index: int, table: Table, buffers: list[Table]) -> Tensor:
    name = table.text(3)
    number = table.integer(1, "int8")
    if number not in DTYPES:
        raise RefusedError(f"tensor {name!r} is of type {number}; expected one of {', '.join(DTYPES.values())}")
    if table.has(6):
        raise RefusedError(f"tensor {name!r} is sparse, which this engine does not support")
    shape = table.integers(0, MOST_AXES) or ()
    if any(size < 1 for size in shape):
        raise RefusedError(f"tensor {name!r} is shaped {shape}; expected positive sizes")
    buffer = table.integer(2, "uint32")
    if buffer >= len(buffers):
        raise RefusedError(f"damaged: tensor {name!r} is in buffer {buffer}, of {len(buffers)}")
    data = constant(name, shape, DTYPES[number], buffers[buffer])
    return Tensor(index, name, shape, DTYPES[number], quantization(name, shape, table.table(4)), data)


def constant(name: str, shape: tuple[int, ...], dtype: str, buffer: Table) -> np.ndarray | None:
    """The content of a buffer; None when it is empty, because the tensor is computed."""
    if buffer.has(1) and buffer.integer(1, "uint64") > 1:
        raise RefusedError(f"tensor {name!r} is stored after the FlatBuffer's end, which this engine does not support")
    data = buffer.array(0, "uint8")
    if data is None or not len(data):
        return None
    if math.prod(shape) * np.dtype(dtype).itemsize != len(data):
        raise RefusedError(f"damaged: tensor {name!r}, {dtype} {shape}, has {len(data):,} bytes")
    return data.view(np.dtype(dtype).newbyteorder("<")).reshape(shape)


def quantization(name: str, shape: tuple[int, ...], table: Table | None) -> Quantization | None:
    scales = None if table is None else table.array(2, "float32")
    if table is None or scales is None or not len(scales):
        return None
    zero_points = table.array(3, "int64")
    if zero_points is None or not len(zero_points):
        zero_points = np.zeros(len(scales), np.int64)
    axis = table.integer(6, "int32")
    allowed = {1} | ({shape[axis]} if 0 <= axis < len(shape) else set())
    if len(scales) not in allowed or len(zero_points) not in (1, len(scales)):
        raise RefusedError(f"damaged: tensor {name!r} {shape} has {len(scales)} scales, {len(zero_points)} zero points")
    return Quantization(scales, zero_points, axis)
