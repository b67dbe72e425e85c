"""ONNX, by tf2onnx."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
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
            name_by_layer(proto.graph, [layer.name for layer in model.layers])
            proto.graph.name = model.name
            onnx.checker.check_model(proto, full_check=True)
            return proto.SerializeToString(deterministic=True)

    def census(self, content: bytes) -> Census:
        with translated("reading the ONNX file"):
            import onnx

            nodes = onnx.load_from_string(content).graph.node
            return Census.of([(node.op_type, node.name, node.op_type not in INTEGER_OPS) for node in nodes])


def name_by_layer(graph: Any, layers: Sequence[str]) -> None:
    """Name nodes, tensors and weights after the Keras layer they come from, the output `OUTPUT`.

    tf2onnx numbers them with counters that run on from one conversion to the next: the same model would give
    different bytes the second time.
    """
    taken: Counter[str] = Counter()
    names = {graph.input[0].name: graph.input[0].name, graph.output[0].name: OUTPUT, "": ""}
    weights = {item.name: item for item in graph.initializer}
    for node in graph.node:
        base = f"{layer_of(f'{node.name}/{node.output[0]}', layers)}/{node.op_type}"
        taken[base] += 1
        node.name = base if taken[base] == 1 else f"{base}_{taken[base]}"
        for position, name in enumerate(node.input):
            names.setdefault(name, f"{node.name}/weight_{position}")  # what no node before made is an initializer
            node.input[position] = names[name]
        for position, name in enumerate(node.output):
            node.output[position] = names.setdefault(name, f"{node.name}:{position}")
    graph.output[0].name = OUTPUT
    del graph.value_info[:]  # by the old names
    graph.ClearField("doc_string")  # holds such a counter too
    used = [weights.pop(name) for name in names if name in weights]  # in order of first use
    for item in used:
        item.name = names[item.name]
    del graph.initializer[:]
    graph.initializer.extend(used)


def layer_of(tensor: str, layers: Sequence[str]) -> str:
    """The Keras layer that the path of a TensorFlow tensor names, "graph" when it names none."""
    for part in tensor.partition(":")[0].split("/"):
        for name in (part, re.sub(r"_\d+$", "", part)):
            if name in layers:
                return name
    return "graph"


EXPORTER = OnnxExporter()
