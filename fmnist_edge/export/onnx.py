"""ONNX, by tf2onnx and, for fewer bits, ONNX Runtime's own quantisers."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ExportError
from fmnist_edge.export.exporter import Census, Exporter, Owners, quiet, translated
from fmnist_edge.export.layer_names import check_ops
from fmnist_edge.export.onnx_names import layer_of, name_by_layer
from fmnist_edge.export.onnx_precisions import to_dynamic_int8, to_float16, to_int8

__all__ = ["EXPORTER", "OPSET"]

OPSET = 17
BRIDGES = ("QuantizeLinear", "DequantizeLinear")


class OnnxExporter(Exporter):
    packages = ("tensorflow-cpu", "keras", "tf2onnx", "onnx", "onnxruntime")

    def convert(
        self,
        model: Any,
        precision: Precision,
        batch: int | None,
        calibration: np.ndarray | None,
        keep_float: tuple[str, ...] = (),
    ) -> bytes:
        with translated(f"ONNX {precision.name} conversion"), quiet():
            import keras
            import onnx

            layers = [layer.name for layer in model.layers]
            norms = {layer.name for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
            proto = float_model(model, batch)
            name_by_layer(proto.graph, layers, norms)  # before, too: quantisers make their names of those they find
            proto = narrowed(proto, precision, calibration, keep_float)
            name_by_layer(proto.graph, layers, again=True)
            proto.graph.name = model.name
            onnx.checker.check_model(proto, full_check=True)
            return proto.SerializeToString(deterministic=True)

    def census(self, content: bytes) -> Census:
        """Q/DQ pairs count as ops, and never as float ones: an engine fuses them with the op between them."""
        with translated("reading the ONNX file"):
            import onnx

            proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
            is_float = float_ops(proto.graph)
            return Census.of([(node.op_type, node.name, node.name in is_float) for node in proto.graph.node])

    def owners(self, content: bytes, model: Any) -> Owners:
        with translated("reading the ONNX file"):
            import onnx

            layers = {layer.name for layer in model.layers}
            named = [(node, layer_of(node)) for node in onnx.load_from_string(content).graph.node]
            return {name: (layer,) for node, layer in named if layer in layers for name in node.output}


def float_model(model: Any, batch: int | None) -> Any:
    """What tf2onnx makes of a Keras model."""
    import tensorflow as tf
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    for layer in model.layers:  # what is a tensor outside of the graph would become an input of it
        if type(layer).__name__ == "Normalization":
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    signature = [tf.TensorSpec((batch, *model.input_shape[1:]), tf.float32, name="image")]
    function = tf.function(lambda image: model(image, training=False), input_signature=signature)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    return proto


def narrowed(proto: Any, precision: Precision, calibration: np.ndarray | None, keep_float: tuple[str, ...] = ()) -> Any:
    """The float32 model, its nodes named by layer, as `precision` asks."""
    check_ops(keep_float, {layer_of(node) for node in proto.graph.node})
    match precision.weights, precision.activations:
        case "float32", "float32":
            return proto
        case "float16", "float16":
            return to_float16(proto)
        case "int8", "dynamic":
            return to_dynamic_int8(proto, keep_float)
        case "int8", "int8":
            return to_int8(proto, calibration, keep_float)
    raise ExportError(f"no way to write {precision.weights} weights and {precision.activations} activations in ONNX")


def float_ops(graph: Any) -> set[str]:
    """Names of the nodes that compute in float.

    In QDQ form every op is written as a float one. It is an integer op when all its float inputs come from
    DequantizeLinear and QuantizeLinear takes all of its output: an engine with an integer kernel runs those as one.
    """
    from onnx import TensorProto

    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    types = {item.name: item.type.tensor_type.elem_type for item in (*graph.input, *graph.value_info, *graph.output)}
    types |= {item.name: item.data_type for item in graph.initializer}
    maker = {name: node.op_type for node in graph.node for name in node.output}
    takers: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, set()).add(node.op_type)

    def is_float(name: str) -> bool:
        return bool(name) and types.get(name, TensorProto.FLOAT) in floats

    def between_bridges(node: Any) -> bool:
        dequantized = all(maker.get(name) == "DequantizeLinear" for name in node.input if is_float(name))
        return dequantized and all(takers.get(name) == {"QuantizeLinear"} for name in node.output)

    return {
        node.name
        for node in graph.node
        if node.op_type not in BRIDGES and any(map(is_float, node.output)) and not between_bridges(node)
    }


EXPORTER = OnnxExporter()
