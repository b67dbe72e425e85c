"""Settings of TensorFlow functions and nodes in the form that Keras's operations take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fmnist_edge.checkpoints.contents import shown
from fmnist_edge.checkpoints.graph import references
from fmnist_edge.checkpoints.refusals import ConfigRefusedError
from fmnist_edge.checkpoints.tf_operations import NODES

__all__ = ["node_call", "setting"]

FLOATS = {"float16", "bfloat16", "float64", "half", "double", "float", "single"}
TYPES = {  # of TensorFlow's DataType: as a number and as a name
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 6: "int8", 9: "int64", 10: "bool", 14: "bfloat16",
    19: "float16", "DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_INT32": "int32", "DT_UINT8": "uint8",
    "DT_INT8": "int8", "DT_INT64": "int64", "DT_BOOL": "bool", "DT_BFLOAT16": "bfloat16", "DT_HALF": "float16",
}  # fmt: skip


def setting(function: str, key: str, value: Any, layer: str) -> Any:
    """`value` of a TensorFlow argument as Keras's constructor wants it; None where it says nothing."""
    if references([value]):
        raise ConfigRefusedError(
            f"layer {shown(layer)} takes its {key} from another layer, as tf.{function} can and Keras cannot",
            "give it numbers, such as -1 for what is left, and save the model again",
        )
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if key == "dtype":
        return "float32" if dtype_name(value) in FLOATS else dtype_name(value)
    if key in ("ksize", "strides", "dilations"):
        return spatial(value)
    if key in ("padding", "mode", "method") and isinstance(value, str):
        return {"nearest": "nearest", "nearest_neighbor": "nearest"}.get(value.lower(), value.lower())
    if key == "num_or_size_splits" and isinstance(value, list):
        return [int(end) for end in np.cumsum(value)[:-1]]
    return value


def dtype_name(value: Any) -> str:
    if isinstance(value, dict):
        value = (value.get("config") or {}).get("name") or value.get("name")
    return str(TYPES.get(value, value)) if isinstance(value, (str, int)) else ""


def spatial(value: Any) -> Any:
    """[1, 2, 2, 1] -> [2, 2]."""
    return value[1:3] if isinstance(value, list) and len(value) == 4 else value


def node_call(config: dict[str, Any], args: list[Any], layer: str) -> tuple[str, dict[str, Any]]:
    """The function and its arguments of a TensorFlowOpLayer: a node of TensorFlow's graph, and constant inputs."""
    node = config.get("node_def")
    constants = config.get("constants") or {}
    if not isinstance(node, dict) or not isinstance(constants, dict):
        raise ConfigRefusedError(f"layer {shown(layer)} has no node of TensorFlow's graph")
    op = node.get("op")
    count = len(node.get("input") or [])
    tensors = list(args[0]) if len(args) == 1 and isinstance(args[0], list) else list(args)
    inputs: list[Any] = []
    for position in range(count):
        known = constants.get(str(position), constants.get(position))
        inputs.append(known if known is not None else tensors.pop(0) if tensors else None)
    attributes = {key: plain(value) for key, value in (node.get("attr") or {}).items() if isinstance(value, dict)}
    if op == "StridedSlice":
        return "getitem", {"tensor": inputs[0], "slice_spec": slices(inputs[1:], attributes, layer)}
    if op == "ConcatV2":
        return "concat", {"values": inputs[:-1], "axis": inputs[-1]}
    if op == "Pack":
        return "stack", {"values": inputs, "axis": attributes.get("axis", 0)}
    if op == "AddN":
        return "add_n", {"inputs": inputs}
    if op not in NODES:
        raise ConfigRefusedError(
            f"layer {shown(layer)} is TensorFlow's operation {shown(op)}, for which Keras has no operation here",
            f"write {shown(layer)} with layers of keras.layers, and save the model again",
        )
    function, names = NODES[op]
    said = {new: attributes[old] for old, new in ATTRIBUTES.items() if old in attributes}
    if op == "Cast":
        said["dtype"] = attributes.get("DstT")
    if op == "Squeeze":
        said["axis"] = attributes.get("squeeze_dims")
    return function, {**dict(zip(names, inputs, strict=False)), **said}


ATTRIBUTES = {
    "keep_dims": "keepdims", "alpha": "alpha", "block_size": "block_size", "ksize": "ksize", "strides": "strides",
    "padding": "padding", "transpose_a": "transpose_a", "transpose_b": "transpose_b", "adj_x": "adjoint_a",
    "adj_y": "adjoint_b", "depth_radius": "depth_radius", "bias": "bias", "beta": "beta", "data_format": "data_format",
}  # fmt: skip


def plain(value: dict[str, Any]) -> Any:
    """An attribute of a node, as protobuf writes it in JSON: {"b": true}, {"i": "3"}, {"list": {"i": ["1", "2"]}}."""
    kind, inner = next(iter(value.items()), ("", None))
    if kind == "list" and isinstance(inner, dict):
        return [plain({part: item}) for part, items in inner.items() for item in items]
    if kind == "i":
        return int(inner or 0)
    if kind == "s":
        return decoded(inner)
    return inner


def decoded(text: Any) -> Any:
    """Protobuf's JSON has bytes in base64: "Vkk=", or as they are."""
    import base64
    import binascii

    try:
        return base64.b64decode(text, validate=True).decode("ascii")
    except (binascii.Error, ValueError, TypeError):
        return text


def slices(inputs: list[Any], attributes: dict[str, Any], layer: str) -> tuple[Any, ...]:
    """Begin, end, strides and masks of a StridedSlice as Python's slices."""
    numbers = [np.asarray(item).ravel().tolist() for item in inputs]
    if len(numbers) != 3 or len({len(item) for item in numbers}) != 1:
        raise ConfigRefusedError(f"layer {shown(layer)} slices by what another layer answers")

    def has(mask: str, position: int) -> bool:
        return bool(int(attributes.get(f"{mask}_mask") or 0) >> position & 1)

    found: list[Any] = []
    for position, (begin, end, step) in enumerate(zip(*numbers, strict=True)):
        if has("ellipsis", position):
            found.append(...)
        elif has("new_axis", position):
            found.append(None)
        elif has("shrink_axis", position):
            found.append(int(begin))
        else:
            start = None if has("begin", position) else int(begin)
            stop = None if has("end", position) else int(end)
            found.append(slice(start, stop, int(step)))
    return tuple(found)
