"""A `.tflite` file without conversions at its ends: int8 goes in and comes out where float32 or uint8 did.

Converters write QUANTIZE as the first op and DEQUANTIZE as the last one unless they are asked for int8. C code and
pages quantise pixels by a table, and give scores with their scale.
"""

from __future__ import annotations

import struct

from fmnist_edge.runtime.engines.numpy.model import MOST_OPS, Model, Tensor, read_model
from fmnist_edge.runtime.flatbuffer import RefusedError, Table, root

__all__ = ["with_int8_ends"]

GRAPHS = 2  # fields of the file, and of a graph, in schema.fbs
INPUTS, OUTPUTS, OPS = 1, 2, 3
ENDS = ("float32", "uint8")
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


def with_int8_ends(content: bytes) -> bytes:
    """The same file with the int8 tensor behind the first QUANTIZE as input, and the one before the last DEQUANTIZE
    (for uint8: QUANTIZE) as output. An end that is not only converted stays.

    Raises RefusedError for a damaged file.
    """
    model = read_model(content)
    begin, end = first_conversion(model), last_conversion(model)
    if begin is None and end is None:
        return content
    edited = bytearray(content)
    (graph,) = root(content).tables(GRAPHS, 1)
    if begin is not None:
        point_to(edited, graph, INPUTS, model.ops[begin].output.index)
    if end is not None:
        point_to(edited, graph, OUTPUTS, model.ops[end].operand(0).index)
    remove_ops(edited, graph, {number for number in (begin, end) if number is not None})
    return bytes(edited)


def first_conversion(model: Model) -> int | None:
    """The number of the QUANTIZE that alone reads the input and changes no number; None without."""
    readers = [number for number, op in enumerate(model.ops) if reads(op.inputs, model.input)]
    if len(readers) != 1 or model.input.index == model.output.index:
        return None
    op = model.ops[readers[0]]
    return readers[0] if op.kind == "QUANTIZE" and is_same(model.input, op.output) else None


def last_conversion(model: Model) -> int | None:
    """The number of the op that makes the output of int8 values and changes no number; None without."""
    makers = [number for number, op in enumerate(model.ops) if op.output.index == model.output.index]
    if len(makers) != 1 or any(reads(op.inputs, model.output) for op in model.ops):
        return None
    op = model.ops[makers[0]]
    source = op.optional(0)
    if op.kind not in CONVERSIONS or source is None or source.data is not None:
        return None
    return makers[0] if is_same(model.output, source) else None


def reads(operands: tuple[Tensor | None, ...], tensor: Tensor) -> bool:
    return any(operand is not None and operand.index == tensor.index for operand in operands)


def is_same(end: Tensor, inner: Tensor) -> bool:
    """Whether int8 values stand for the numbers of a float32 tensor, or of a uint8 tensor one by one."""
    if end.dtype not in ENDS or inner.dtype != "int8" or end.shape != inner.shape:
        return False
    if end.dtype == "float32":
        return True
    one, other = end.per_tensor(), inner.per_tensor()
    return one.scale == other.scale and one.zero_point == other.zero_point + 128


def point_to(edited: bytearray, graph: Table, field: int, tensor: int) -> None:
    """Make `tensor` the only one of a graph's field: in a new vector, because equal vectors may be stored once."""
    place = graph.place(field)
    if place is None:
        raise RefusedError("damaged: a graph without inputs or outputs")
    edited.extend(bytes(-len(edited) % 4))
    struct.pack_into("<I", edited, place, len(edited) - place)
    edited.extend(struct.pack("<Ii", 1, tensor))


def remove_ops(edited: bytearray, graph: Table, numbers: set[int]) -> None:
    """Make the vector of ops shorter. Its offsets are relative to where they are stored."""
    start = graph.target(OPS)
    if start is None:
        return
    kept = [table.position for number, table in enumerate(graph.tables(OPS, MOST_OPS)) if number not in numbers]
    struct.pack_into("<I", edited, start, len(kept))
    for number, position in enumerate(kept):
        place = start + 4 + 4 * number
        struct.pack_into("<I", edited, place, position - place)
