"""Read an int8 `.tflite` file as a list of nodes: what the C code computes, in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fmnist_edge.runtime.engines.numpy.budget import Budget
from fmnist_edge.runtime.engines.numpy.integers import mean_axes
from fmnist_edge.runtime.engines.numpy.model import Model, Op, Tensor, read_model
from fmnist_edge.runtime.engines.numpy.program import builder_of, program_of
from fmnist_edge.runtime.engines.numpy.windows import SAME, Axis, axis
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = [
    "ALL_INT8", "KINDS", "Graph", "Node", "Value", "Window", "evaluate", "pair_function", "read_graph", "reduced_axes",
    "used", "windows",
]  # fmt: skip

LINEAR = {"CONV_2D": (2, 5, 4), "DEPTHWISE_CONV_2D": (2, 6, 5)}  # the options: row stride, row and column dilation
POOLS = {"MAX_POOL_2D": "max_pool", "AVERAGE_POOL_2D": "average_pool"}
BINARY = ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "PRELU")
UNARY = (
    "LOGISTIC", "RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "HARD_SWISH", "TANH", "GELU", "EXP", "QUANTIZE",
)  # fmt: skip
RESHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
KINDS = {
    "CONV_2D": "convolve", "FULLY_CONNECTED": "convolve", "DEPTHWISE_CONV_2D": "depthwise", **POOLS,
    "MEAN": "mean", "SOFTMAX": "softmax", **dict.fromkeys(RESHAPES, "reshape"), "PAD": "pad",
    "CONCATENATION": "concatenation",
    **dict.fromkeys(BINARY, "binary"), **dict.fromkeys(UNARY, "table"),
}  # fmt: skip
CHANNELS_LIMIT = {"SOFTMAX": 4096}  # a sum of so many exponentials still fits 32 bits


@dataclass(frozen=True)
class Value:
    """A tensor of int8 values: `rows` x `columns` pixels of `channels`. `data`: of a constant, in that shape."""

    number: int
    rows: int
    columns: int
    channels: int
    zero_point: int
    data: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.rows, self.columns, self.channels

    @property
    def size(self) -> int:
        return self.rows * self.columns * self.channels


@dataclass(frozen=True)
class Window:
    """The sum of neighbouring channels: of `values[x]` - zero_point, for x from `before` places left of a channel to
    `after` places right of it. Beyond the ends of a line there is nothing to add.

    Attributes:
        source: the number of the value x.
        values: the 256 int8 results for -128 to 127, as bytes.
        across: whether a line is a row of pixels, one after another; else it is one pixel.
        least, most: the bounds of the sum.
    """

    source: int
    values: bytes
    zero_point: int
    before: int
    after: int
    across: bool
    least: int
    most: int


@dataclass(frozen=True)
class Node:
    """One step of the C code.

    Attributes:
        kind: of the kernel, see KINDS; also "constant" (copies one into the arena), "copy" and "window".
        op: the op of the file that it computes, or the last one of those that it computes together.
        inputs, output: numbers of values. A constant operand is a value too.
        table: for "table", int8 (256,): the results for -128 to 127. For "window", the results for each sum.
        window: for "window", what is summed. When `op` is a MUL, the result is multiplied by the source.
    """

    kind: str
    op: Op
    inputs: tuple[int, ...]
    output: int
    table: np.ndarray | None = None
    window: Window | None = None


@dataclass(frozen=True)
class Graph:
    """The nodes in execution order, and the values that they read and write, by number."""

    nodes: tuple[Node, ...]
    values: dict[int, Value]
    input: int
    output: int


def read_graph(content: bytes) -> Graph:
    """Parse and check a file. Raises RefusedError when it is damaged, is not int8 throughout or has an op without a
    C kernel."""
    model = read_model(content)
    for op in model.ops:
        if op.kind not in KINDS:
            raise RefusedError(f"there is no C kernel for {op.kind}")
    program_of(model)  # the numpy engine's checks of every op
    values = {model.input.index: value_of(model.input)}
    nodes: list[Node] = []
    for op in model.ops:
        add_node(op, values, nodes)
    check_batch(model)
    return used(Graph(tuple(nodes), values, model.input.index, model.output.index))


def check_batch(model: Model) -> None:
    if model.input.shape[0] != 1:
        raise RefusedError(f"it takes {model.input.shape[0]} images per call; C code takes one")


def add_node(op: Op, values: dict[int, Value], nodes: list[Node]) -> None:
    values[op.output.index] = value_of(op.output)
    kind = KINDS[op.kind]
    operands = op.inputs if kind in ("binary", "concatenation") else op.inputs[:1]
    inputs = []
    for operand in operands:
        if operand is None:
            raise RefusedError(f"damaged: {op.kind} {op.output.name!r} lacks an operand")
        if operand.data is not None and operand.index not in values:
            values[operand.index] = value_of(operand)
            nodes.append(Node("constant", op, (), operand.index))
        inputs.append(operand.index)
    limit = CHANNELS_LIMIT.get(op.kind)
    if limit and values[inputs[0]].channels >= limit:
        raise RefusedError(f"{op.kind} {op.output.name!r} over {values[inputs[0]].channels} values; expected < {limit}")
    table = evaluate(op, ALL_INT8) if kind == "table" else None
    nodes.append(Node(kind, op, tuple(inputs), op.output.index, table))


ALL_INT8 = np.arange(-128, 128).astype(np.int8)


def evaluate(op: Op, *values: np.ndarray) -> np.ndarray:
    """What the numpy engine computes for int8 arrays (n,), one for each computed operand of an elementwise op."""
    return np.asarray(builder_of(op)(op, Budget())(*values), np.int8).reshape(-1)


def pair_function(op: Op) -> np.ndarray:
    """All results of an op with two operands, int8 (256, 256): the first operand is the row."""
    shape = op.output.shape
    computed = tuple(replace(op.operand(number), data=None, shape=shape) for number in (0, 1))
    left, right = np.repeat(ALL_INT8, 256), np.tile(ALL_INT8, 256)
    return evaluate(replace(op, inputs=computed), left, right).reshape(256, 256)


def value_of(tensor: Tensor) -> Value:
    if tensor.dtype != "int8":
        raise RefusedError(f"tensor {tensor.name!r} is {tensor.dtype}; C code computes in int8 only")
    shape = tensor.shape if tensor.data is not None and tensor.shape[:1] != (1,) else tensor.shape[1:]
    rows, columns, channels = (math.prod(shape[:-2]), *(1, 1, *shape)[-2:])
    data = None if tensor.data is None else tensor.data.astype(np.int8).reshape(rows, columns, channels)
    return Value(tensor.index, rows, columns, channels, tensor.per_tensor().zero_point, data)


def windows(op: Op) -> tuple[Axis, Axis]:
    """The windows of a convolution or a pooling op, along rows and columns."""
    height, width = op.operand(0).shape[1:3]
    same = op.integer(0, "int8") == SAME
    if op.kind in POOLS:
        sizes: tuple[int, ...] = (op.integer(4, "int32"), op.integer(3, "int32"))
        dilation = 1, 1
        stride = op.integer(2, "int32", 1), op.integer(1, "int32", 1)
    else:
        stride_field, *fields = LINEAR[op.kind]
        sizes = op.operand(1).shape[1:3]
        stride = op.integer(stride_field, "int32", 1), op.integer(stride_field - 1, "int32", 1)
        dilation = op.integer(fields[0], "int32", 1), op.integer(fields[1], "int32", 1)
    return (
        axis(height, sizes[0], stride[0], dilation[0], same),
        axis(width, sizes[1], stride[1], dilation[1], same),
    )


def reduced_axes(op: Op) -> Sequence[int]:
    return mean_axes(op)[0]


def used(graph: Graph) -> Graph:
    """The same graph without nodes that nothing reads."""
    needed, kept = {graph.output}, []
    for node in reversed(graph.nodes):
        if node.output in needed:
            needed.update(node.inputs)
            kept.append(node)
    return replace(graph, nodes=tuple(reversed(kept)))
