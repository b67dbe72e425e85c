"""Convert a float32 ONNX model to float16. Inputs and outputs stay float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmnist_edge.exporters.onnx_names import all_nodes
from fmnist_edge.worker import telemetry

if TYPE_CHECKING:
    import onnx

__all__ = ["opset_of", "to_float16"]


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """float16 weights and computation, by ONNX Runtime's converter, which knows the ops that must stay float32.

    The file has half the size. ONNX Runtime has hardly any float16 kernels for x86-64: there it computes in float32
    between casts (0.98 / 0.95 / 0.99). float16 is for GPUs, NPUs and ARMv8.2. Its largest value is 65504.
    """
    telemetry.turn_off()
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    compute_outputs(model.graph)
    blocked = [*DEFAULT_OP_BLOCK_LIST, *ops_without_float16(model)]
    floors = floored_divisions(model.graph)
    whole = [*floors, *floors.values()]
    converted = ONNXModel(
        convert_float_to_float16(model, keep_io_types=True, op_block_list=blocked, node_block_list=whole)
    )
    read_quotients(converted.model.graph, floors)
    converted.topological_sort()  # the converter appends the casts of input and output
    return converted.model


def compute_outputs(graph: onnx.GraphProto) -> None:
    """Let an Identity make each output that is a constant, in place: the converter casts what a node makes."""
    from onnx import helper

    outputs = {item.name for item in graph.output}
    for item in graph.initializer:
        if item.name in outputs:
            name, item.name = item.name, f"{item.name}/constant"
            for node in graph.node:
                node.input[:] = [item.name if read == name else read for read in node.input]
            graph.node.append(helper.make_node("Identity", [item.name], [name], f"{name}/Identity"))


def floored_divisions(graph: onnx.GraphProto) -> dict[str, str]:
    """Name of each Floor of a quotient -> name of its Div, which a little rounding takes to another whole number."""
    divisions = {node.output[0]: node.name for node in graph.node if node.op_type == "Div"}
    floors = [node for node in graph.node if node.op_type == "Floor" and node.input[0] in divisions]
    return {node.name: divisions[node.input[0]] for node in floors}


def read_quotients(graph: onnx.GraphProto, floors: dict[str, str]) -> None:
    """Let each Floor read what its Div wrote: the converter casts that to float16 and back. In place."""
    nodes = {node.name: node for node in graph.node}
    for floor, division in floors.items():
        nodes[floor].input[0] = nodes[division].output[0]
    outputs = {item.name for item in graph.output}
    for _ in range(2):  # the cast back, and then the cast to
        read = outputs | {name for node in all_nodes(graph) for name in node.input}
        for node in [item for item in graph.node if item.op_type == "Cast" and item.output[0] not in read]:
            graph.node.remove(node)


def ops_without_float16(model: onnx.ModelProto) -> list[str]:
    """Types of the model's ops that take float32 in its opset, but no float16, like IsInf before opset 20.

    Also ScatterND, whose sums ONNX Runtime does not compute in float16.
    """
    from onnx import defs

    opset = opset_of(model)
    found = {"ScatterND"}
    for kind in {node.op_type for node in all_nodes(model.graph)}:
        inputs = defs.get_schema(kind, opset).inputs
        taken = {name for item in inputs for name in item.types}
        if "tensor(float)" in taken and "tensor(float16)" not in taken:
            found.add(kind)
    return sorted(found)


def opset_of(model: onnx.ModelProto) -> int:
    return next(item.version for item in model.opset_import if not item.domain)
