"""Find the nodes of a float ONNX graph that are useless in eight bits; they stay in float."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.exporters.activation_ranges import is_lost, is_rounded_to_zero, typical_value
from fmnist_edge.exporters.onnx_names import layer_of, names_read_by
from fmnist_edge.runtime.engines.onnx_session import SILENT, import_onnxruntime

if TYPE_CHECKING:
    import onnx

__all__ = ["Ranges", "float_islands", "measure"]

KERNELS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# A sum of rounded values that is compared with a bound, as in sparsemax.
INEXACT = ("CumSum",)
# How many steps of eight bits the typical output of an op has to be; see `activation_ranges`. A quotient is multiplied
# with other values, and an error of its divisor grows without bound.
LEAST_AFTER = {"Div": 8.0, "Exp": 0.5, "Reciprocal": 8.0, "Where": 0.5}


@dataclass
class Ranges:
    """What a tensor's values were on calibration images.

    Attributes:
        low, high: the extremes; NaN or infinity if a value was.
        typical: the median |value| of each image without zeros.
    """

    low: float = np.inf
    high: float = -np.inf
    typical: list[float] = field(default_factory=list)

    def add(self, values: np.ndarray) -> None:
        if values.size:
            self.low = float(np.minimum(self.low, values.min()))  # NaN stays NaN
            self.high = float(np.maximum(self.high, values.max()))
            self.typical += typical_value(values)


def measure(model: onnx.ModelProto, feeds: Iterator[dict[str, np.ndarray]]) -> dict[str, Ranges]:
    """The ranges of all float tensors that the nodes of the main graph make."""
    import onnx

    onnxruntime = import_onnxruntime()

    shown = onnx.ModelProto.FromString(model.SerializeToString())
    made = [output for node in model.graph.node for output in node.output if output]
    if not made:  # the answer is a constant
        return {}
    declared = {item.name for item in model.graph.output}
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made if name not in declared)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: dict[str, Ranges] = {}
    for feed in feeds:
        for name, array in zip(made, session.run(made, feed), strict=True):
            if isinstance(array, np.ndarray) and array.dtype.kind == "f":
                found.setdefault(name, Ranges()).add(array)
    return found


def float_islands(graph: onnx.GraphProto, ranges: Mapping[str, Ranges]) -> list[str]:
    """Names of the nodes that are useless in eight bits, in graph order; the nodes are named by layer.

    They make or read a tensor whose typical value is next to nothing in steps of eight bits of its range, such as
    1 / sqrt(variance) when one image is constant, or logits that are masked with -1e9. The other nodes of their layers
    come along, as what is rounded in front of 1 / sqrt(x) is wrong behind it; convolutions and matrix products stay
    integer, but for those in front of a logarithm that would get 0.
    """
    maker = {name: node.op_type for node in graph.node for name in node.output}
    lost = {
        name
        for name, found in ranges.items()
        if is_lost(found.low, found.high, found.typical, LEAST_AFTER.get(maker.get(name, "")))
    }
    whole = set()
    for node in graph.node:
        read = ranges.get(node.input[0]) if node.op_type == "Log" else None
        if read is not None and is_rounded_to_zero(read.low, read.high):
            lost.add(node.input[0])
            whole.add(layer_of(node))

    def useless(node: onnx.NodeProto) -> bool:
        return node.op_type in INEXACT or not lost.isdisjoint((*names_read_by(node), *node.output))

    layers = {layer_of(node) for node in graph.node if useless(node)}
    return [
        node.name
        for node in graph.node
        if useless(node) or layer_of(node) in (whole if node.op_type in KERNELS else layers)
    ]
