"""Names in an ONNX graph: after the Keras layers that they come from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

__all__ = ["OUTPUT", "name_by_layer"]

OUTPUT = "scores"
NO_LAYER = "graph"


def name_by_layer(graph: Any, layers: Sequence[str]) -> None:
    """Name nodes, tensors and weights after the Keras layer they come from, the output `OUTPUT`.

    tf2onnx numbers them with counters that run on from one conversion to the next: the same model would give
    different bytes the second time.
    """
    taken: Counter[str] = Counter()
    names = {graph.input[0].name: graph.input[0].name, graph.output[0].name: OUTPUT, "": ""}
    weights = {item.name: item for item in graph.initializer}
    for node in graph.node:
        # What a converter put in belongs to the layer that it follows.
        told_by = [f"{node.name}/{node.output[0]}", *(names[name] for name in node.input if name in names)]
        layer = next(filter(None, (layer_of(text, layers) for text in told_by)), NO_LAYER)
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


def layer_of(tensor: str, layers: Sequence[str]) -> str | None:
    """The Keras layer that the path of a TensorFlow tensor names, None when it names none."""
    for part in tensor.partition(":")[0].split("/"):
        for name in (part, re.sub(r"_\d+$", "", part)):
            if name in layers:
                return name
    return None
