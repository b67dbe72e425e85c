"""Prepare a float ONNX graph for int8: what is fused, what stays in float, which weights have all eight bits.

Converters compose most activation functions of arithmetic. In int8 every intermediate result would be rounded to its
own range: `x + 3` before the clip of a hard swish has the range of x, and what remains of a small x is lost. Here a
function has one rounding before and one behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.exporters.onnx_names import names_read_by

if TYPE_CHECKING:
    import onnx

__all__ = ["FLOAT_KERNELS", "depthwise_weights", "float_functions", "fuse_hard_activations", "softmax_at_output"]

HARD_SWISH_OPSET = 14
SIXTH = 1 / 6
# Functions of each value alone, and of constants: those that ONNX Runtime has integer kernels for, and the others.
INTEGER = frozenset({"Add", "Clip", "LeakyRelu", "Mul", "Relu", "Sigmoid"})
FLOAT_KERNELS = frozenset({
    "Abs", "Celu", "Div", "Elu", "Erf", "Exp", "HardSigmoid", "HardSwish", "Log", "Max", "Min", "Neg", "PRelu", "Pow",
    "Reciprocal", "Selu", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh", "ThresholdedRelu",
})  # fmt: skip
ELEMENTWISE = INTEGER | FLOAT_KERNELS


def depthwise_weights(graph: onnx.GraphProto) -> list[str]:
    """Names of the weights (channels, 1, height, width) that only depthwise convolutions have."""
    shapes = {item.name: list(item.dims) for item in graph.initializer}
    others = {name for node in graph.node if node.op_type != "Conv" for name in names_read_by(node)}
    found: dict[str, bool] = {}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in shapes:
            weight = node.input[1]
            groups = next((item.i for item in node.attribute if item.name == "group"), 1)
            channels, inputs = shapes[weight][:2]
            found[weight] = found.get(weight, True) and inputs == 1 and groups == channels > 1
    return [name for name, depthwise in found.items() if depthwise and name not in others]


def softmax_at_output(graph: onnx.GraphProto) -> list[str]:
    """Name of a Softmax that computes the model's output: in 256 steps, the two largest probabilities may be equal."""
    outputs = {item.name for item in graph.output}
    return [node.name for node in graph.node if node.op_type == "Softmax" and node.output[0] in outputs]


def float_functions(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes to leave in float: those that compute one function of one tensor with ops that have no kernel.

    Some op of the function, such as Erf in GELU, computes in float in any case. With the others in float too, rounding
    happens before and behind the function alone. Sigmoid(x) · x is a lookup table and a product: it stays in integers.
    """
    found: list[str] = []
    for group in functions(graph):
        kinds = {node.op_type for node in group}
        if kinds & INTEGER and kinds - INTEGER:
            found += [node.name for node in group if node.op_type in INTEGER]
    return found


def functions(graph: onnx.GraphProto) -> list[list[onnx.NodeProto]]:
    """Groups of neighbouring elementwise nodes. Each computes a function of one tensor, value by value."""
    constants = {item.name for item in graph.initializer}
    group_of: dict[str, int] = {}  # tensor -> the group that computes it
    argument: list[str] = []  # of each group
    groups: list[list[onnx.NodeProto]] = []
    for node in graph.node:
        if node.op_type not in ELEMENTWISE:
            continue
        inputs = [name for name in node.input if name and name not in constants]
        near = {group_of[name] for name in inputs if name in group_of}
        arguments = {argument[index] for index in near} | {name for name in inputs if name not in group_of}
        if len(arguments) != 1:  # a function of several tensors, or of constants
            continue
        kept = min(near, default=len(groups))
        if kept == len(groups):
            groups.append([])
            argument += arguments
        for index in near - {kept}:
            for member in groups[index]:
                group_of[member.output[0]] = kept
            groups[kept] += groups[index]
            groups[index] = []
        groups[kept].append(node)
        group_of[node.output[0]] = kept
    return groups


def fuse_hard_activations(graph: onnx.GraphProto, opset: int) -> None:
    """Replace what tf2onnx composes of Add, Clip and Mul by HardSigmoid and HardSwish, in place.

    min(max(x + 3, 0), 6) / 6 is a HardSigmoid, and its product with x a HardSwish, which opset 14 has.
    """
    from onnx import numpy_helper

    scalars = {
        item.name: float(numpy_helper.to_array(item).reshape(-1)[0])
        for item in graph.initializer
        if item.data_type == 1 and np.prod(item.dims, dtype=int) == 1
    }
    for fuse in (fuse_hard_sigmoid, fuse_hard_swish)[: 2 if opset >= HARD_SWISH_OPSET else 1]:
        graph_nodes = Nodes(graph)
        fused = [fuse(graph_nodes, node, scalars) for node in graph.node]
        if any(fused):
            graph_nodes.write()


class Nodes:
    """The nodes of a graph, while some are replaced; `write` removes those that nobody reads any more."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.maker = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, int] = {}
        for node in graph.node:
            for name in names_read_by(node):
                self.readers[name] = self.readers.get(name, 0) + 1
        self.outputs = {item.name for item in graph.output}

    def made_by(self, name: str, kind: str) -> onnx.NodeProto | None:
        """The node of this kind that makes a tensor which nothing else reads; else None."""
        node = self.maker.get(name)
        alone = self.readers.get(name) == 1 and name not in self.outputs
        return node if alone and node is not None and node.op_type == kind else None

    def write(self) -> None:
        from fmnist_edge.exporters.onnx_repair import set_nodes

        kept: list[onnx.NodeProto] = []
        read = set(self.outputs)
        for node in reversed(self.graph.node):
            if not read.isdisjoint(node.output):
                kept.append(node)
                read.update(names_read_by(node))
        set_nodes(self.graph, kept[::-1])
        used = {name for node in self.graph.node for name in names_read_by(node)} | self.outputs
        weights = [item for item in self.graph.initializer if item.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(weights)


def operands(node: onnx.NodeProto, scalars: dict[str, float]) -> Iterator[tuple[str, float]]:
    """(tensor, constant) for an Add or Mul with one scalar constant."""
    if len(node.input) == 2:
        for name, other in (tuple(node.input), tuple(node.input)[::-1]):
            if other in scalars and name not in scalars:
                yield name, scalars[other]


def fuse_hard_sigmoid(nodes: Nodes, node: onnx.NodeProto, scalars: dict[str, float]) -> bool:
    """Make a HardSigmoid of min(max(x + 3, 0), 6) / 6, if `node` is its product; returns whether it was."""
    if node.op_type != "Mul":
        return False
    for name, factor in operands(node, scalars):
        clip = nodes.made_by(name, "Clip")
        if clip is None or not close(factor, SIXTH) or limits(clip, scalars) != (0.0, 6.0):
            continue
        added = nodes.made_by(clip.input[0], "Add")
        for x, shift in operands(added, scalars) if added is not None else ():
            if close(shift, 3.0):
                become(node, "HardSigmoid", [x], alpha=SIXTH, beta=0.5)
                return True
    return False


def fuse_hard_swish(nodes: Nodes, node: onnx.NodeProto, scalars: dict[str, float]) -> bool:
    """Make a HardSwish of x · HardSigmoid(x), if `node` is that product; returns whether it was."""
    if node.op_type != "Mul" or len(node.input) != 2:
        return False
    for x, gate in (tuple(node.input), tuple(node.input)[::-1]):
        made = nodes.made_by(gate, "HardSigmoid")
        settings = {item.name: item.f for item in made.attribute} if made is not None else {}
        if made is None or made.input[0] != x:
            continue
        if close(settings.get("alpha", 0.2), SIXTH) and close(settings.get("beta", 0.5), 0.5):
            become(node, "HardSwish", [x])
            return True
    return False


def limits(clip: onnx.NodeProto, scalars: dict[str, float]) -> tuple[float | None, ...]:
    return tuple(scalars.get(name) for name in clip.input[1:3])


def close(value: float, exact: float) -> bool:
    return abs(value - exact) < 1e-6 * exact


def become(node: onnx.NodeProto, kind: str, inputs: Iterable[str], **attributes: float) -> None:
    """Change an op in place; its name and outputs stay."""
    from onnx import helper

    node.op_type = kind
    node.input[:] = inputs
    del node.attribute[:]
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
