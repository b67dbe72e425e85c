"""Rename the nodes and tensors of an ONNX graph after the Keras layers that they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

from fmnist_edge.export.layer_names import LayerNames

if TYPE_CHECKING:
    import onnx

__all__ = ["OUTPUT", "layer_of", "name_by_layer"]

OUTPUT = "scores"
NO_LAYER = "graph"
KERNEL_OPS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
BATCH_NORM_OPS = ("Add", "BatchNormalization", "Mul", "Sub")


def name_by_layer(
    graph: onnx.GraphProto, layers: Sequence[str], norms: Set[str] = frozenset(), again: bool = False
) -> None:
    """Name nodes, tensors and weights after their Keras layers, and the output `OUTPUT`; changes `graph` in place.

    tf2onnx numbers nodes with counters that continue from one conversion to the next, so converting a model twice would
    give different bytes. A node that the converter fused from several belongs to the layer whose weights it has. A
    node that it inserted belongs to the layer of the node before it.

    Args:
        layers: names of the model's layers.
        norms: names of the BatchNormalization layers. tf2onnx folds them into the convolution before them. It may then
            name the convolution, and nodes that it inserts in front of it, after the BatchNormalization.
        again: whether the graph has been named before; names that a quantiser added start with the name of their node.
    """
    layer_names = LayerNames(layers, map(path_of, graph.node))
    counts: Counter[str] = Counter()
    uses = Counter(name for node in graph.node for name in node.input)
    start = graph.input[0].name
    names = {start: start, graph.output[0].name: OUTPUT, "": ""}
    layer_of_tensor = {start: start}
    weights = {item.name: item for item in graph.initializer}
    for node in graph.node:
        own_weights = [name for name in node.input if name in weights and uses[name] == 1]
        candidates = [layer_of(node)] if again else candidate_layers(node, own_weights, layer_names, norms)
        previous = next((layer_of_tensor[name] for name in node.input if name in layer_of_tensor), NO_LAYER)
        layer = next((name for name in candidates if name in layers), previous)
        layer_of_tensor |= dict.fromkeys(node.output, layer)
        base = f"{layer}/{node.op_type}"
        counts[base] += 1
        node.name = base if counts[base] == 1 else f"{base}_{counts[base]}"
        for position, name in enumerate(node.input):
            names.setdefault(name, f"{node.name}/weight_{position}")  # not a node's output: an initializer
            node.input[position] = names[name]
        for position, name in enumerate(node.output):
            node.output[position] = names.setdefault(name, f"{node.name}:{position}")
    graph.output[0].name = OUTPUT
    del graph.value_info[:]  # it refers to the old names
    graph.ClearField("doc_string")  # it contains such a counter
    used = [weights.pop(name) for name in names if name in weights]  # in order of first use
    for item in used:
        item.name = names[item.name]
    del graph.initializer[:]
    graph.initializer.extend(used)


def candidate_layers(
    node: onnx.NodeProto, own_weights: Sequence[str], layer_names: LayerNames, norms: Set[str]
) -> list[str]:
    """The layers that a node may belong to, by its name and the names of `own_weights`, which no other node uses.

    If they include a BatchNorm, but the op cannot be one, the layer of the op's kernel counts instead, even if other
    nodes use the kernel too.
    """
    candidates = [layer for name in (path_of(node), *own_weights) for layer in layer_names.of(name)]
    if node.op_type in BATCH_NORM_OPS or norms.isdisjoint(candidates):
        return candidates
    kernel = node.input[1:2] if node.op_type in KERNEL_OPS else ()
    return [
        layer
        for layer in (*candidates, *(layer for name in kernel for layer in layer_names.of(name)))
        if layer not in norms
    ]


def layer_of(node: onnx.NodeProto) -> str:
    """The layer of a node that `name_by_layer` has named."""
    return node.name.partition("/")[0]


def path_of(node: onnx.NodeProto) -> str:
    """The names of the node and its output, joined; tf2onnx may use a bare counter for either."""
    return f"{node.name}/{node.output[0]}".partition(":")[0]
