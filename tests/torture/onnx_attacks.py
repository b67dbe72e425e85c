"""Attacks on `.onnx` files: lengths of the protobuf, data outside the file, graphs that mean what no engine expects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torture.bytes_attacks import Random

__all__ = ["ATTACKS"]

SIZES = (0, -1, 2, 1 << 16, 1 << 31, (1 << 31) - 1, 1 << 40, (1 << 62) - 1, -(1 << 63))
OUTSIDE = (
    "../outside/secret", "/etc/passwd", "../../../../../../etc/passwd", "./../outside/secret", "a/../../outside/secret",
    "..\\outside\\secret", "/proc/self/environ", "link", "\0", "", "/dev/zero", "/proc/self/mem", "~/.profile",
)  # fmt: skip


def pick(rng: Random, items: Any) -> Any:
    return items[int(rng.integers(0, len(items)))]


def varints(content: bytes, rng: Random) -> bytes:
    """The key and the length of some field: a byte that says how the next bytes are to be read."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, min(len(content), 3000)))
        choice = (b"\xff" * 10, b"\xff\xff\xff\xff\x7f", b"\x80" * 12, b"\x00", b"\x7f", b"\xff\xff\xff\xff\x07")
        patch = pick(rng, choice)
        changed[at : at + len(patch)] = patch
    return bytes(changed)


def external(proto: Any, rng: Random) -> None:
    """Weights that are said to lie in a file that is none of the model's."""
    from onnx import TensorProto

    tensor = pick(rng, proto.graph.initializer)
    entries = {"location": pick(rng, OUTSIDE)}
    if rng.random() < 0.5:
        entries |= {"offset": str(pick(rng, SIZES)), "length": str(pick(rng, SIZES))}
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


def shapes(proto: Any, rng: Random) -> None:
    if rng.random() < 0.5:
        tensor = pick(rng, proto.graph.initializer)
        if rng.random() < 0.3 or not tensor.dims:
            tensor.dims.append(pick(rng, SIZES))
        else:
            tensor.dims[int(rng.integers(0, len(tensor.dims)))] = pick(rng, SIZES)
        return
    value = pick(rng, [*proto.graph.input, *proto.graph.output, *proto.graph.value_info])
    dims = value.type.tensor_type.shape.dim
    if dims:
        pick(rng, dims).dim_value = pick(rng, SIZES)


def attributes(proto: Any, rng: Random) -> None:
    """Pads, strides, groups, axes and scales that make no sense."""
    node = pick(rng, [node for node in proto.graph.node if node.attribute])
    attribute = pick(rng, node.attribute)
    if attribute.ints:
        attribute.ints[int(rng.integers(0, len(attribute.ints)))] = pick(rng, SIZES)
    elif rng.random() < 0.3:
        attribute.type = int(rng.integers(0, 16))
    else:
        attribute.i, attribute.f = pick(rng, SIZES), pick(rng, (float("nan"), float("inf"), -1.0))


KINDS = (
    "Loop", "If", "Scan", "ConstantOfShape", "Expand", "Tile", "Range", "Resize", "Gather", "GatherND", "ScatterND",
    "Reshape", "Transpose", "Slice", "Split", "Pad", "ConvTranspose", "LSTM", "NonMaxSuppression", "TopK", "OneHot",
    "Unsqueeze", "Squeeze", "MatMulInteger", "QLinearConv", "DequantizeLinear", "Einsum", "Compress",
    "StringNormalizer", "Upsample", "MaxUnpool", "RoiAlign", "Col2Im", "DFT", "GridSample", "SequenceAt", "Optional",
    "NoSuchOp",
)  # fmt: skip


def kinds(proto: Any, rng: Random) -> None:
    """Another op on the same operands, of another opset or domain."""
    node = pick(rng, proto.graph.node)
    node.op_type = pick(rng, KINDS)
    if rng.random() < 0.2:
        node.domain = pick(rng, ("com.microsoft", "ai.onnx.ml", "evil", "ai.onnx.training"))
    if rng.random() < 0.2:
        proto.opset_import[0].version = pick(rng, (0, -1, 1, 7, 99, 1 << 40))


def operands(proto: Any, rng: Random) -> None:
    """Cycles, names that are not there, names given twice, too few operands and too many."""
    node, other = pick(rng, proto.graph.node), pick(rng, proto.graph.node)
    match int(rng.integers(0, 5)):
        case 0:
            node.input[0] = other.output[0]
        case 1:
            node.output[0] = other.output[0]
        case 2:
            del node.input[int(rng.integers(0, len(node.input))) :]
        case 3:
            node.input.extend([pick(rng, ("", "nowhere", other.output[0]))] * int(rng.integers(1, 50)))
        case _:
            node.input[int(rng.integers(0, len(node.input)))] = pick(rng, proto.graph.initializer).name


def tensors(proto: Any, rng: Random) -> None:
    """Constants cut short, of another type, of numbers that are none."""
    tensor = pick(rng, proto.graph.initializer)
    match int(rng.integers(0, 5)):
        case 0:
            tensor.raw_data = tensor.raw_data[: int(rng.integers(0, len(tensor.raw_data) + 1))]
        case 1:
            tensor.data_type = int(rng.integers(0, 26))
        case 2:
            tensor.raw_data = b"\xff" * len(tensor.raw_data)
        case 3:
            tensor.raw_data += bytes(int(rng.integers(1, 64)))
        case _:
            tensor.name = pick(rng, proto.graph.initializer).name


def bombs(proto: Any, rng: Random) -> None:
    """A few bytes that ask for much memory or time: before the first node, so that the engine may fold it at once."""
    from onnx import TensorProto, helper, numpy_helper

    graph, first = proto.graph, proto.graph.input[0].name
    size = int(pick(rng, (1 << 33, 1 << 38, 1 << 45)))
    constant = numpy_helper.from_array(np.array([size], np.int64), "bomb_size")
    match int(rng.integers(0, 4)):
        case 0:
            node = [helper.make_node("ConstantOfShape", ["bomb_size"], ["bomb"])]
        case 1:
            scalar = numpy_helper.from_array(np.array([[1.0]], np.float32), "bomb_one")
            graph.initializer.append(scalar)
            node = [helper.make_node("Expand", ["bomb_one", "bomb_size"], ["bomb"])]
        case 2:
            graph.initializer.append(numpy_helper.from_array(np.array(0, np.int64), "bomb_zero"))
            graph.initializer.append(numpy_helper.from_array(np.array(1, np.int64), "bomb_step"))
            graph.initializer.append(numpy_helper.from_array(np.array(size, np.int64), "bomb_limit"))
            node = [helper.make_node("Range", ["bomb_zero", "bomb_limit", "bomb_step"], ["bomb"])]
        case _:
            node = endless_loop(helper, TensorProto)
            graph.initializer.append(numpy_helper.from_array(np.array((1 << 62), np.int64), "bomb_trips"))
            graph.initializer.append(numpy_helper.from_array(np.array(True), "bomb_true"))
            graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "bomb_start"))
    graph.initializer.append(constant)
    extra = [
        helper.make_node("ReduceSum", ["bomb"], ["bomb_sum"], keepdims=0),
        helper.make_node("Cast", ["bomb_sum"], ["bomb_float"], to=TensorProto.FLOAT),
        helper.make_node("Add", [first, "bomb_float"], ["bomb_image"]),
    ]
    for item in graph.node:
        item.input[:] = ["bomb_image" if name == first else name for name in item.input]
    nodes = [*node, *extra, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def endless_loop(helper: Any, types: Any) -> list[Any]:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["again"], ["still"]),
            helper.make_node("Add", ["sum", "sum"], ["sum_after"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("number", types.INT64, []),
            helper.make_tensor_value_info("again", types.BOOL, []),
            helper.make_tensor_value_info("sum", types.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("still", types.BOOL, []),
            helper.make_tensor_value_info("sum_after", types.FLOAT, [1]),
        ],
    )
    return [helper.make_node("Loop", ["bomb_trips", "bomb_true", "bomb_start"], ["bomb"], body=body)]


def nested(proto: Any, rng: Random) -> None:
    """If inside If inside If: protobuf and the engine both go down by recursion. Or a function that calls itself."""
    from onnx import helper

    if rng.random() < 0.3:
        call = helper.make_node("Again", ["x"], ["y"], domain="evil")
        opset = [helper.make_opsetid("", 17), helper.make_opsetid("evil", 1)]
        proto.functions.append(helper.make_function("evil", "Again", ["x"], ["y"], [call], opset))
        proto.opset_import.append(helper.make_opsetid("evil", 1))
        pick(rng, proto.graph.node).domain = "evil"
        proto.graph.node[0].op_type = "Again"
        return
    node = helper.make_node("Identity", [proto.graph.input[0].name], ["deep"])
    for level in range(int(pick(rng, (5, 15, 22)))):  # protobuf writes no more than 100 messages in one another
        inside = helper.make_graph([node], f"level{level}", [], [helper.make_empty_tensor_value_info("deep")])
        node = helper.make_node("If", ["nowhere"], ["deep"], then_branch=inside)
    proto.graph.node.insert(0, node)


def deep(content: bytes, rng: Random) -> bytes:
    """The same by hand, as deep as nobody writes it: graph (7), node (1), attribute (5), graph (6), node (1)..."""
    message = b""
    for _ in range(int(pick(rng, (50, 300, 3000)))):
        for number in (1, 6, 5):
            message = field(number, message)
    return content + field(7, field(1, message))


def field(number: int, content: bytes) -> bytes:
    size, length = len(content), b""
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def meant(change: Callable[[Any, Random], None]) -> Callable[[bytes, Random], bytes]:
    """An attack that parses a file, changes what it says once or twice, and writes it as a sound protobuf."""

    def attack(content: bytes, rng: Random) -> bytes:
        import onnx

        while True:
            proto = onnx.load_from_string(content)
            try:
                for _ in range(rng.integers(1, 3)):
                    change(proto, rng)
                return proto.SerializeToString()
            except (ValueError, IndexError, TypeError):
                continue  # a number that the field cannot hold, nothing left to change

    return attack


ATTACKS = {
    "field lengths": varints,
    "depth": deep,
    "external data": meant(external),
    "shapes": meant(shapes),
    "attributes": meant(attributes),
    "op kinds": meant(kinds),
    "operands": meant(operands),
    "constants": meant(tensors),
    "bombs": meant(bombs),
    "recursion": meant(nested),
}
