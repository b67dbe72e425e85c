"""Export to ONNX with tf2onnx, and for fewer bits with ONNX Runtime's quantisers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.catalog.runtimes import Runtime
from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.exporter import Census, Exporter, OpLayers, export_errors, quiet
from fmnist_edge.exporters.layer_names import check_ops, operation_names
from fmnist_edge.exporters.onnx_activations import FLOAT_KERNELS
from fmnist_edge.exporters.onnx_checks import check_conversion, check_model, check_ops_known
from fmnist_edge.exporters.onnx_conversion import float_model
from fmnist_edge.exporters.onnx_float16 import to_float16
from fmnist_edge.exporters.onnx_interface import to_uint8
from fmnist_edge.exporters.onnx_names import all_nodes, layer_of, name_by_layer, names_read_by, subgraphs
from fmnist_edge.exporters.onnx_precisions import to_dynamic_int8, to_int8
from fmnist_edge.exporters.onnx_repair import repair, used_in_bodies
from fmnist_edge.exporters.onnx_runtimes import obstacles_in
from fmnist_edge.exporters.options import DEFAULT_OPSET
from fmnist_edge.exporters.several import Samples

if TYPE_CHECKING:
    import keras
    import onnx

__all__ = ["EXPORTER"]

QDQ_OPS = ("QuantizeLinear", "DequantizeLinear")


class OnnxExporter(Exporter):
    packages = ("tensorflow-cpu", "keras", "tf2onnx", "onnx", "onnxruntime")

    def convert(
        self,
        model: keras.Model,
        precision: Precision,
        batch: int | None,
        calibration: Samples | None,
        keep_float: tuple[str, ...] = (),
    ) -> bytes:
        with export_errors(f"ONNX {precision.name} conversion"), quiet():
            import keras

            layers = operation_names(model)
            norms = {layer.name for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
            proto = float_model(model, batch, precision.opset or DEFAULT_OPSET)
            check_ops_known(proto, model)
            if precision.weights == "int8":
                check_conversion(proto, model, calibration)
            name_by_layer(proto.graph, layers, norms)  # quantisers derive their names from these
            weights = used_in_bodies(proto.graph)
            proto = to_precision(proto, precision, calibration, keep_float)
            repair(proto.graph, weights)
            name_by_layer(proto.graph, layers, again=True)
            if precision.io == "uint8":
                to_uint8(proto)
            proto.graph.name = model.name
            check_model(proto, model)
            return proto.SerializeToString(deterministic=True)

    def census(self, content: bytes) -> Census:
        """Q/DQ ops are counted, but never as float ops: an engine fuses them with the op between them."""
        with export_errors("reading the ONNX file"):
            import onnx

            proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
            is_float = float_ops(proto.graph)
            return Census.of([(node.op_type, node.name, node.name in is_float) for node in all_nodes(proto.graph)])

    def obstacles_in(self, content: bytes) -> Callable[[Runtime], list[str]]:
        return obstacles_in(content)

    def op_layers(self, content: bytes, model: keras.Model) -> OpLayers:
        with export_errors("reading the ONNX file"):
            import onnx

            layers = {layer.name for layer in model.layers}
            named = [(node, layer_of(node)) for node in onnx.load_from_string(content).graph.node]
            return {name: (layer,) for node, layer in named if layer in layers for name in node.output}


def to_precision(
    proto: onnx.ModelProto, precision: Precision, calibration: Samples | None, keep_float: tuple[str, ...] = ()
) -> onnx.ModelProto:
    """Convert a float32 model, whose nodes are named by layer, to `precision`.

    Raises ExportError for a precision that ONNX does not have, and for a layer in `keep_float` without ops.
    """
    check_ops(keep_float, {layer_of(node) for node in proto.graph.node})
    match precision.weights, precision.activations:
        case "float32", "float32":
            return proto
        case "float16", "float16":
            return to_float16(proto)
        case "int8", "dynamic":
            return to_dynamic_int8(proto, keep_float, per_channel=precision.scales == "per_channel")
        case "int8", "int8":
            return to_int8(
                proto,
                calibration,
                keep_float,
                per_channel=precision.scales == "per_channel",
                float_output=precision.io != "uint8",
            )
    raise ExportError(
        f"cannot export {precision.weights} weights with {precision.activations} activations to ONNX; choose another "
        "precision"
    )


def float_ops(graph: onnx.GraphProto) -> set[str]:
    """Names of the nodes that compute in float.

    In QDQ form every op is written as a float op. It is an integer op if all its float inputs come from
    DequantizeLinear and all its outputs go to QuantizeLinear: an engine runs the three as one integer kernel, if it has
    one. The nodes of bodies count too.
    """
    from onnx import TensorProto

    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    types = {item.name: item.type.tensor_type.elem_type for item in (*graph.input, *graph.value_info, *graph.output)}
    types |= {item.name: item.data_type for item in graph.initializer}
    producer = {name: node.op_type for node in graph.node for name in node.output}
    consumers: dict[str, set[str]] = {}
    for node in graph.node:
        for name in names_read_by(node):
            consumers.setdefault(name, set()).add(node.op_type)

    def is_float(name: str) -> bool:
        return bool(name) and types.get(name, TensorProto.FLOAT) in floats

    def between_qdq(node: onnx.NodeProto) -> bool:
        dequantized = all(producer.get(name) == "DequantizeLinear" for name in node.input if is_float(name))
        return dequantized and all(consumers.get(name) == {"QuantizeLinear"} for name in node.output)

    found = {
        node.name
        for node in graph.node
        if node.op_type not in QDQ_OPS
        and any(map(is_float, node.output))
        and (node.op_type in FLOAT_KERNELS or not between_qdq(node))
    }
    return found.union(*(float_ops(body) for node in graph.node for _, body in subgraphs(node)))


EXPORTER = OnnxExporter()
