"""Give a quantised ONNX model integers as input and output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.onnx_names import names_read_by
from fmnist_edge.runtime.interface import KEY, Scaling, interface_text

if TYPE_CHECKING:
    import onnx

__all__ = ["to_uint8"]


def to_uint8(proto: onnx.ModelProto) -> None:
    """Make uint8 the type of input and output, in place.

    The QuantizeLinear at the input and the DequantizeLinear at the output go away. ONNX has no place for the scales of
    an integer input or output, so they go into the file's metadata.

    Raises ExportError if the model computes with its float input, or its last op does so in float.
    """
    graph = proto.graph
    if len(graph.input) > 1 or len(graph.output) > 1:
        raise ExportError(
            f"the model has {len(graph.input)} inputs and {len(graph.output)} outputs, and --io is for ONNX files with "
            "one of each; leave --io out"
        )
    first, last = graph.input[0], graph.output[0]
    readers = [node for node in graph.node if first.name in names_read_by(node)]
    maker = next((node for node in graph.node if last.name in node.output), None)
    if len(readers) != 1 or readers[0].op_type != "QuantizeLinear":
        kinds = ", ".join(node.op_type for node in readers) or "nothing"
        raise ExportError(f"the input cannot be uint8: {kinds} reads it in float; leave --io out for this file")
    if maker is None or maker.op_type != "DequantizeLinear":
        kind = "nothing" if maker is None else maker.op_type
        raise ExportError(f"the output cannot be uint8: {kind} computes it in float; leave --io out for this file")
    scalings = scaling_of(readers[0], graph), scaling_of(maker, graph)
    rename(graph, {readers[0].output[0]: first.name, maker.input[0]: last.name})
    graph.node.remove(readers[0])
    graph.node.remove(maker)
    for item in (first, last):
        item.type.tensor_type.elem_type = 2  # TensorProto.UINT8
    proto.metadata_props.add(key=KEY, value=interface_text(*scalings))


def scaling_of(node: onnx.NodeProto, graph: onnx.GraphProto) -> Scaling:
    """The scale and zero point of a (De)QuantizeLinear. Raises ExportError unless they are for uint8."""
    from onnx import numpy_helper

    arrays = {item.name: item for item in graph.initializer if item.name in node.input}
    scale, zero_point = (numpy_helper.to_array(arrays[name]) for name in node.input[1:3])
    if zero_point.dtype != np.uint8 or scale.size != 1:
        raise ExportError(f"{node.name} has a zero point of {zero_point.dtype}; expected one of uint8")
    return Scaling(float(scale.item()), int(zero_point.item()))


def rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    kept = [item for item in graph.value_info if item.name not in names and item.name not in names.values()]
    del graph.value_info[:]
    graph.value_info.extend(kept)
