"""Check an ONNX model before it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmnist_edge.errors import ExportError
from fmnist_edge.export.onnx_conversion import layer_of_op, way_out
from fmnist_edge.export.onnx_names import STANDARD_DOMAINS, all_nodes, path_of

if TYPE_CHECKING:
    import keras
    import onnx

__all__ = ["check_model", "check_ops_known"]


def check_ops_known(proto: onnx.ModelProto, model: keras.Model) -> None:
    """Raises ExportError for the first op that is not in ONNX, bodies included, and for functions.

    tf2onnx leaves TensorFlow ops in the graph that it cannot convert. Call this while nodes have tf2onnx's names, from
    which the Keras layer follows.
    """
    from onnx import defs

    opset = next(item.version for item in proto.opset_import if item.domain in STANDARD_DOMAINS)
    for node in all_nodes(proto.graph):
        known = node.domain in STANDARD_DOMAINS and defs.has(node.op_type, opset)
        if not known:
            what = layer_of_op(model, path_of(node), node.name)
            raise ExportError(f"{what} needs {node.op_type}, which ONNX opset {opset} does not have; {way_out(what)}")
    if proto.functions:
        raise ExportError(f"the ONNX graph calls a function, {proto.functions[0].name!r}; try another format")


def check_model(proto: onnx.ModelProto) -> None:
    """Check structure, types and shapes, the latter with constants propagated. Raises what onnx.checker does.

    Raises ExportError if the model has more than one input or output.
    """
    import onnx

    counts = len(proto.graph.input), len(proto.graph.output)
    if counts != (1, 1):
        raise ExportError(
            f"the ONNX graph has {counts[0]} inputs and {counts[1]} outputs; expected one of each; try another format"
        )
    onnx.checker.check_model(proto, full_check=True)
    onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
