"""Attacks on `.tflite` files: offsets and lengths of the flatbuffer, and sound files that ask for nonsense."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from fmnist_edge.exporters.flatbuffer import pack, unpack
from torture.bytes_attacks import WORDS, Random

__all__ = ["ATTACKS"]

SIZES = (0, -1, -2, 2, 3, 1 << 15, 1 << 20, (1 << 31) - 1, -(1 << 31))
NUMBERS = (0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e-45, 3e38)


@cache
def offsets_of(content: bytes) -> tuple[int, ...]:
    """Positions of words that look like forward offsets: their target is a table or a vector inside the file."""
    values = np.frombuffer(content[: len(content) // 4 * 4], "<u4").astype(np.int64)
    targets = np.arange(len(values)) * 4 + values
    inside = (values >= 4) & (values % 4 == 0) & (targets + 4 <= len(content))
    return tuple((np.flatnonzero(inside) * 4).tolist())


def offsets(content: bytes, rng: Random) -> bytes:
    """An offset that leads out of the file, backwards, to itself, or to another table."""
    found, changed = offsets_of(content), bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = found[int(rng.integers(0, len(found)))]
        other = found[int(rng.integers(0, len(found)))]
        choices = (0, 4, len(content) - at, len(content) - at - 4, (other - at) % (1 << 32), *WORDS)
        struct.pack_into("<I", changed, at, int(choices[int(rng.integers(0, len(choices)))]))
    return bytes(changed)


def lengths(content: bytes, rng: Random) -> bytes:
    """The length of a vector, where an offset leads to."""
    found, changed = offsets_of(content), bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = found[int(rng.integers(0, len(found)))]
        target = at + struct.unpack_from("<I", content, at)[0]
        length = struct.unpack_from("<I", content, target)[0]
        choices = (length + 1, length * 2, length * 4, max(0, length - 1), *WORDS)
        struct.pack_into("<I", changed, target, choices[int(rng.integers(0, len(choices)))] % (1 << 32))
    return bytes(changed)


def pick(rng: Random, items: Any) -> Any:
    return items[int(rng.integers(0, len(items)))]


def any_shape(model: Any, rng: Random) -> None:
    tensor = pick(rng, model.subgraphs[0].tensors)
    shape = list(tensor.shape if tensor.shape is not None else [])
    if shape and rng.random() < 0.8:
        shape[int(rng.integers(0, len(shape)))] = pick(rng, SIZES)
    else:
        shape = [1] * int(rng.integers(0, 12))
    tensor.shape = shape


def any_operand(model: Any, rng: Random) -> None:
    op = pick(rng, model.subgraphs[0].operators)
    count = len(model.subgraphs[0].tensors)
    side = "inputs" if rng.random() < 0.5 else "outputs"
    listed = list(getattr(op, side))
    value = int(pick(rng, (-1, -2, count, count + 7, (1 << 31) - 1, int(rng.integers(0, count)))))
    if rng.random() < 0.3:
        listed = listed[: int(rng.integers(0, len(listed) + 1))]
    elif rng.random() < 0.2:
        listed += [value] * int(rng.integers(1, 40))
    else:
        listed[int(rng.integers(0, len(listed)))] = value
    setattr(op, side, listed)


def any_kind(model: Any, rng: Random) -> None:
    """Another op on the same operands: what each kernel checks of them is its own affair."""
    code = pick(rng, model.operatorCodes)
    kind = int(rng.integers(0, 210))
    code.builtinCode, code.deprecatedBuiltinCode = kind, min(kind, 127)
    code.version = int(rng.integers(1, 6))


def any_options(model: Any, rng: Random) -> None:
    """Strides, dilations, axes and activations that make no sense."""
    options = [op.builtinOptions for op in model.subgraphs[0].operators if op.builtinOptions is not None]
    chosen = pick(rng, [item for item in options if vars(item)])
    name = pick(rng, sorted(vars(chosen)))
    value = getattr(chosen, name)
    if isinstance(value, bool):
        setattr(chosen, name, not value)
    elif isinstance(value, int):
        narrow = "Activation" in name or name in ("padding", "weightsFormat", "quantizedBiasType")
        setattr(chosen, name, int(pick(rng, (-128, -1, 0, 1, 5, 99, 127) if narrow else SIZES)))


def any_quantization(model: Any, rng: Random) -> None:
    tensors = [t for t in model.subgraphs[0].tensors if t.quantization is not None and t.quantization.scale is not None]
    chosen = pick(rng, tensors or model.subgraphs[0].tensors).quantization
    if chosen is None or chosen.scale is None:
        return
    scale, zero = np.array(chosen.scale, np.float32), np.array(chosen.zeroPoint, np.int64)
    match int(rng.integers(0, 6)):
        case 0:
            scale[int(rng.integers(0, len(scale)))] = pick(rng, NUMBERS)
        case 1:
            scale = scale[: int(rng.integers(0, len(scale) + 1))]
        case 2:
            zero[int(rng.integers(0, len(zero)))] = pick(rng, SIZES)
        case 3:
            zero = zero[:0]
        case 4:
            scale, zero = np.repeat(scale, 3), np.repeat(zero, 2)
        case 5:
            chosen.quantizedDimension = int(pick(rng, SIZES))
    chosen.scale, chosen.zeroPoint = scale, zero


def any_type(model: Any, rng: Random) -> None:
    pick(rng, model.subgraphs[0].tensors).type = int(rng.integers(0, 20))


def any_buffer(model: Any, rng: Random) -> None:
    """Constants that are cut short, swapped, missing, or outside the flatbuffer."""
    tensor, buffers = pick(rng, model.subgraphs[0].tensors), model.buffers
    buffer = buffers[tensor.buffer]
    match int(rng.integers(0, 5)):
        case 0:
            tensor.buffer = int(pick(rng, (0, len(buffers), (1 << 32) - 1)))
        case 1:
            tensor.buffer = int(rng.integers(0, len(buffers)))
        case 2:
            buffer.data = None
        case 3 if buffer.data is not None:
            buffer.data = np.asarray(buffer.data)[: int(rng.integers(0, len(buffer.data)))]
        case _:
            buffer.offset, buffer.size = int(pick(rng, (2, 1 << 20, 1 << 40, (1 << 63)))), int(rng.integers(2, 1 << 30))


def any_graph(model: Any, rng: Random) -> None:
    """Inputs and outputs that are none, ops out of order, ops that stand twice, another graph, none at all."""
    graph = model.subgraphs[0]
    match int(rng.integers(0, 7)):
        case 0:
            graph.inputs = [int(pick(rng, (-1, len(graph.tensors), 5)))]
        case 1:
            graph.outputs = [int(pick(rng, (-1, len(graph.tensors), int(graph.inputs[0]), 3)))]
        case 2:
            graph.operators = [graph.operators[i] for i in rng.permutation(len(graph.operators))]
        case 3:
            graph.operators = graph.operators * int(rng.integers(2, 300))
        case 4:
            model.subgraphs = [graph, graph]
        case 5:
            model.subgraphs = []
        case _:
            pick(rng, graph.operators).opcodeIndex = int(pick(rng, (99, (1 << 31) - 1, 0)))


def meant(change: Callable[[Any, Random], None]) -> Callable[[bytes, Random], bytes]:
    """An attack that unpacks a file, changes what it says once to three times, and packs it as sound bytes."""

    def attack(content: bytes, rng: Random) -> bytes:
        while True:
            model = unpack(content)
            try:
                for _ in range(rng.integers(1, 4)):
                    change(model, rng)
                return pack(model)
            except (struct.error, TypeError, OverflowError, ValueError, IndexError):
                continue  # nothing left to change, or a number that the field cannot hold

    return attack


ATTACKS = {
    "offsets": offsets,
    "lengths": lengths,
    "shapes": meant(any_shape),
    "operands": meant(any_operand),
    "op kinds": meant(any_kind),
    "op options": meant(any_options),
    "quantisation": meant(any_quantization),
    "types": meant(any_type),
    "buffers": meant(any_buffer),
    "graph": meant(any_graph),
}
