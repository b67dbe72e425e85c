"""Names in an ONNX graph: after the Keras layers that they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from typing import Any

from fmnist_edge.export.layer_names import LayerNames

__all__ = ["OUTPUT", "layer_of", "name_by_layer"]

OUTPUT = "scores"
NO_LAYER = "graph"
KERNELS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
OF_NORMS = ("Add", "BatchNormalization", "Mul", "Sub")


def name_by_layer(graph: Any, layers: Sequence[str], norms: Set[str] = frozenset(), again: bool = False) -> None:
    """Name nodes, tensors and weights after the Keras layer they come from, the output `OUTPUT`.

    tf2onnx numbers them with counters that run on from one conversion to the next: the same model would give
    different bytes the second time. What a converter made of several nodes belongs to the layer whose weights it has,
    what it put in to the one that it follows.

    Args:
        norms: those of the layers that are BatchNormalization. tf2onnx folds them into the convolution before them,
            and may then call that, and what it puts in front of it, by their name.
        again: the graph has been named before; what a quantiser added begins with the name of what it belongs to.
    """
    read = LayerNames(layers, map(path_of, graph.node))
    taken: Counter[str] = Counter()
    uses = Counter(name for node in graph.node for name in node.input)
    start = graph.input[0].name
    names = {start: start, graph.output[0].name: OUTPUT, "": ""}
    made_in = {start: start}
    weights = {item.name: item for item in graph.initializer}
    for node in graph.node:
        own = [name for name in node.input if name in weights and uses[name] == 1]
        told = [layer_of(node)] if again else layers_told(node, own, read, norms)
        follows = next((made_in[name] for name in node.input if name in made_in), NO_LAYER)
        layer = next((name for name in told if name in layers), follows)
        made_in |= dict.fromkeys(node.output, layer)
        base = f"{layer}/{node.op_type}"
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


def layers_told(node: Any, own: Sequence[str], read: LayerNames, norms: Set[str]) -> list[str]:
    """The layers that a node's name speaks of and those of its `own` weights, which no other node has, by their names.

    An op that no BatchNorm is belongs to the layer of its kernel, be that its own or shared.
    """
    told = [layer for name in (path_of(node), *own) for layer in read.of(name)]
    if node.op_type in OF_NORMS or norms.isdisjoint(told):
        return told
    kernel = node.input[1:2] if node.op_type in KERNELS else ()
    return [layer for layer in (*told, *(layer for name in kernel for layer in read.of(name))) if layer not in norms]


def layer_of(node: Any) -> str:
    """The layer of a node that has been named by it."""
    return node.name.partition("/")[0]


def path_of(node: Any) -> str:
    """The node's name and that of its output; tf2onnx has a bare counter for one or the other."""
    return f"{node.name}/{node.output[0]}".partition(":")[0]
