"""Rename the nodes and tensors of an ONNX graph after the Keras layers that they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from typing import TYPE_CHECKING

from fmnist_edge.exporters.layer_names import LayerNames

if TYPE_CHECKING:
    import onnx

__all__ = [
    "OUTPUT",
    "STANDARD_DOMAINS",
    "all_nodes",
    "layer_of",
    "name_by_layer",
    "names_read_by",
    "path_of",
    "subgraphs",
]

OUTPUT = "scores"
NO_LAYER = "graph"
STANDARD_DOMAINS = ("", "ai.onnx")  # both mean ONNX's own ops
KERNEL_OPS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
BATCH_NORM_OPS = ("Add", "BatchNormalization", "Mul", "Sub")


def name_by_layer(
    graph: onnx.GraphProto, layers: Sequence[str], norms: Set[str] = frozenset(), again: bool = False
) -> None:
    """Name nodes, tensors and weights after their Keras layers, and the output `OUTPUT`; changes `graph` in place.

    tf2onnx numbers nodes with counters that continue from one conversion to the next, so converting a model twice would
    give different bytes. A node that the converter fused from several belongs to the layer whose weights it has. A
    node that it inserted belongs to the layer of the node before it. The bodies of Loop, Scan and If belong to the
    layer of their node.

    Args:
        layers: names of the model's layers.
        norms: names of the BatchNormalization layers. tf2onnx folds them into the convolution before them. It may then
            name the convolution, and nodes that it inserts in front of it, after the BatchNormalization.
        again: whether the graph has been named before; names that a quantiser added start with the name of their node.
    """
    layer_names = LayerNames(layers, map(path_of, graph.node))
    uses = Counter(name for node in graph.node for name in names_read_by(node))
    starts = {item.name: item.name for item in graph.input}
    ends = [OUTPUT] if len(graph.output) == 1 else [f"{OUTPUT}_{index:02}" for index in range(len(graph.output))]
    ended = {item.name: name for item, name in zip(graph.output, ends, strict=True)}
    renaming = Renaming({**starts, **ended, "": ""})
    layer_of_tensor = dict(starts)
    weights = {item.name: item for item in graph.initializer}
    for node in graph.node:
        own_weights = [name for name in node.input if name in weights and uses[name] == 1]
        candidates = [layer_of(node)] if again else candidate_layers(node, own_weights, layer_names, norms)
        previous = next((layer_of_tensor[name] for name in names_read_by(node) if name in layer_of_tensor), NO_LAYER)
        layer = next((name for name in candidates if name in layers), previous)
        layer_of_tensor |= dict.fromkeys(node.output, layer)
        renaming.rename(node, layer)
    for item, name in zip(graph.output, ends, strict=True):
        item.name = name
    clear_notes(graph)
    used = [weights.pop(name) for name in renaming.names if name in weights]  # in order of first use
    for item in used:
        item.name = renaming.names[item.name]
    del graph.initializer[:]
    graph.initializer.extend(used)


class Renaming:
    """Renames nodes one after the other, with what their bodies contain.

    A body uses tensors of the graphs around it by their names. Its own names may stand in another body too.

    Args:
        names: old names of tensors -> new names; `rename` adds to it.
        counts: number of nodes of each layer and type so far. All graphs share it, so that names are unique.
    """

    def __init__(self, names: dict[str, str], counts: Counter[str] | None = None) -> None:
        self.names = names
        self.counts: Counter[str] = Counter() if counts is None else counts

    def rename(self, node: onnx.NodeProto, layer: str) -> None:
        """Name `node`, its inputs and its outputs after `layer`."""
        base = f"{layer}/{node.op_type}"
        self.counts[base] += 1
        node.name = base if self.counts[base] == 1 else f"{base}_{self.counts[base]}"
        for position, name in enumerate(names_read_by(node)):
            self.names.setdefault(name, f"{node.name}/weight_{position}")  # not a node's output: an initializer
        for position, name in enumerate(node.input):
            node.input[position] = self.names[name]
        for key, body in subgraphs(node):
            self.rename_body(body, layer, f"{node.name}/{key}")
        for position, name in enumerate(node.output):
            node.output[position] = self.names.setdefault(name, f"{node.name}:{position}")

    def rename_body(self, body: onnx.GraphProto, layer: str, prefix: str) -> None:
        """Name all that a body contains after `layer`; `prefix` makes the names of its inputs and weights unique."""
        inside = Renaming(dict(self.names), self.counts)
        inside.names |= {item.name: f"{prefix}/input_{index}" for index, item in enumerate(body.input)}
        inside.names |= {item.name: f"{prefix}/weight_{index}" for index, item in enumerate(body.initializer)}
        for node in body.node:  # an output's name hides the same name of the graphs around
            for name in filter(None, node.output):
                inside.names.pop(name, None)
        for node in body.node:
            inside.rename(node, layer)
        for item in (*body.input, *body.initializer, *body.output):
            item.name = inside.names[item.name]
        body.name = prefix
        clear_notes(body)


def clear_notes(graph: onnx.GraphProto) -> None:
    """Remove the types, which refer to the old names, and the description, which contains a counter of tf2onnx."""
    del graph.value_info[:]
    graph.ClearField("doc_string")


def subgraphs(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.GraphProto]]:
    """The bodies of a Loop, Scan or If: (attribute, graph)."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.name, attribute.g
        for index, graph in enumerate(attribute.graphs):
            yield f"{attribute.name}_{index}", graph


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph; the nodes of its bodies follow the node that has them."""
    for node in graph.node:
        yield node
        for _, body in subgraphs(node):
            yield from all_nodes(body)


def names_read_by(node: onnx.NodeProto) -> list[str]:
    """The node's inputs, and then the tensors of the graph around it that its bodies use, each of these once."""
    inputs = list(node.input)
    outside = [name for _, body in subgraphs(node) for name in names_from_outside(body)]
    return [*inputs, *(name for name in dict.fromkeys(outside) if name not in inputs)]


def names_from_outside(body: onnx.GraphProto) -> Iterator[str]:
    """What a body reads and does not make itself; an empty name is an input that is left out."""
    own = {item.name for item in (*body.input, *body.initializer)}
    own.update(name for node in body.node for name in node.output)
    read = (name for node in body.node for name in names_read_by(node))
    for name in (*read, *(item.name for item in body.output)):
        if name and name not in own:
            yield name


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
