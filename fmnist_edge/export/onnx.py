"""ONNX, by tf2onnx."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from fmnist_edge.export.exporter import Census, quiet, translated
from fmnist_edge.export.precisions import Precision

__all__ = ["EXPORTER", "OPSET"]

OPSET = 17
OUTPUT = "scores"
INTEGER_OPS = ("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QuantizeLinear")


class OnnxExporter:
    """See `fmnist_edge.export.exporter.Exporter`."""

    format = "onnx"
    packages = ("tensorflow-cpu", "keras", "tf2onnx", "onnx")

    def convert(self, model: Any, precision: Precision, batch: int | None, calibration: np.ndarray | None) -> bytes:
        with translated(f"ONNX {precision.name} conversion"), quiet():
            import onnx
            import tensorflow as tf
            import tf2onnx

            logging.getLogger("tf2onnx").setLevel(logging.ERROR)
            signature = [tf.TensorSpec((batch, *model.input_shape[1:]), tf.float32, name="image")]
            function = tf.function(lambda image: model(image, training=False), input_signature=signature)
            proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
            rename_output(proto.graph, OUTPUT)
            proto.graph.name = model.name
            onnx.checker.check_model(proto, full_check=True)
            return proto.SerializeToString(deterministic=True)

    def census(self, content: bytes) -> Census:
        with translated("reading the ONNX file"):
            import onnx

            nodes = onnx.load_from_string(content).graph.node
            return Census.of([(node.op_type, node.name, node.op_type not in INTEGER_OPS) for node in nodes])


def rename_output(graph: Any, name: str) -> None:
    """Call the graph's only output `name`; tf2onnx leaves it "Identity:0"."""
    old = graph.output[0].name
    for node in graph.node:
        for index, output in enumerate(node.output):
            if output == old:
                node.output[index] = name
    graph.output[0].name = name


EXPORTER = OnnxExporter()
