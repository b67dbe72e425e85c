"""Read the ops of a `.tflite` file, and find those that are useless in eight bits."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from fmnist_edge.exporters.exporter import OpLayers
from fmnist_edge.exporters.flatbuffer import op_kinds, schema_module, unpack
from fmnist_edge.exporters.shared_scales import SHARING

__all__ = ["INEXACT", "WRONG", "Operator", "float_islands", "operators"]

# Activations -> ops whose kernel gives wrong answers: the int8 quotient of a small dividend is the largest one, int8
# values that are scattered to one place saturate, ONE_HOT's two values have two scales, 16-bit sums and logarithms
# are off by most of their range, and a 16-bit 1 / sqrt(x) of a small x by a few percent.
WRONG = {"int8": ("DIV", "ONE_HOT", "SCATTER_ND"), "int16": ("LOG", "RSQRT", "SUM")}
INEXACT = ("RSQRT",)  # right in int8, but an error of its argument grows without bound; its kernel is slow as well
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
KERNELS = ("CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")


class Operator(NamedTuple):
    """An op of a file.

    Attributes:
        kind: its type, such as "CONV_2D".
        name: of its first output; "" for an op without outputs.
        inputs, outputs: its tensors, TensorT's of the schema.
    """

    kind: str
    name: str
    inputs: list[Any]
    outputs: list[Any]

    @property
    def writes_float(self) -> bool:
        return any(map(is_float, self.outputs))

    @property
    def computes_in_float(self) -> bool:
        """Whether a tensor of it is float; ops that only convert do not count."""
        return self.kind not in CONVERSIONS and any(map(is_float, (*self.inputs, *self.outputs)))


def operators(content: bytes) -> Iterator[Operator]:
    """All ops of a file, in graph order."""
    model = unpack(content)
    for number, graph in enumerate(model.subgraphs):
        for kind, op in zip(op_kinds(model, number), graph.operators, strict=True):
            inputs = [graph.tensors[index] for index in op.inputs if index >= 0]
            outputs = [graph.tensors[index] for index in op.outputs]
            yield Operator(kind, outputs[0].name.decode() if outputs else "", inputs, outputs)


def is_float(tensor: Any) -> bool:
    types = schema_module().TensorType
    return tensor.type in (types.FLOAT32, types.FLOAT16)


def float_islands(content: bytes, lost: Collection[str], made_by: OpLayers, kinds: Collection[str]) -> list[str]:
    """The outputs of the ops of a float file that are useless in eight bits, in graph order.

    They are ops of these `kinds`, and ops that make or read a tensor in `lost`. The other ops of their layers come
    along, as what is rounded in front of 1 / sqrt(x) is wrong behind it; convolutions and matrix products stay integer,
    but for those in front of a logarithm that would get 0.
    So do the ops that make what shares a scale with a tensor in `lost`: the converter gives them that scale all the
    same.

    Args:
        lost: names of tensors, see `activation_ranges.Measured`.
        made_by: the layers of the ops.
    """

    def useless(op: Operator) -> bool:
        tensors = [*op.inputs, *op.outputs]
        return (op.kind in kinds and op.writes_float) or any(tensor.name.decode() in lost for tensor in tensors)

    found = list(operators(content))
    layers = {layer for op in found if useless(op) for layer in made_by.get(op.name, ())}
    whole = {
        layer
        for op in found
        if op.kind == "LOG" and any(tensor.name.decode() in lost for tensor in op.inputs)
        for layer in made_by.get(op.name, ())
    }
    islands: set[str] = set()
    for op in reversed(found):  # so that what makes an operand of an island comes after it
        of_layer = not (whole if op.kind in KERNELS else layers).isdisjoint(made_by.get(op.name, ()))
        if op.name in islands or useless(op) or of_layer:
            islands.add(op.name)
            if op.kind in SHARING and useless(op):
                islands |= {tensor.name.decode() for tensor in op.inputs if is_float(tensor)}
    return [op.name for op in found if op.name in islands]
