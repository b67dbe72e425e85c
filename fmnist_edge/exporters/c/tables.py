"""Chains of elementwise ops that depend on one value are one table of 256 results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fmnist_edge.exporters.c.graph import ALL_INT8, Graph, Node, evaluate, pair_function, used

__all__ = ["with_tables"]

# value -> (the value that it is a function of, its results for -128 to 127)
Functions = dict[int, tuple[int, np.ndarray]]


def with_tables(graph: Graph) -> Graph:
    """The same graph, in which every elementwise op that depends on a single value is one table."""
    functions: Functions = {}
    nodes = []
    for node in graph.nodes:
        found = function_of(graph, node, functions)
        if found is not None:
            functions[node.output] = found
            node = replace(node, kind="table", inputs=(found[0],), table=found[1])
        nodes.append(node)
    return used(replace(graph, nodes=tuple(nodes)))


def function_of(graph: Graph, node: Node, functions: Functions) -> tuple[int, np.ndarray] | None:
    """What the output of `node` is a function of; None unless that is one value of the same shape."""
    if node.kind not in ("table", "binary"):
        return None
    shape = graph.values[node.output].shape
    roots, columns = set(), []
    for number in node.inputs:
        value = graph.values[number]
        if value.data is not None:
            if value.size != 1:
                return None
            columns.append(np.repeat(value.data.reshape(-1), 256))
            continue
        root, results = functions.get(number, (number, ALL_INT8))
        if value.shape != shape or graph.values[root].shape != shape:
            return None
        roots.add(root)
        columns.append(results)
    if len(roots) != 1:
        return None
    if node.kind == "table":
        table = evaluate(node.op, columns[0])
    else:
        left, right = (column.astype(np.int64) + 128 for column in columns)
        table = pair_function(node.op)[left, right]
    return roots.pop(), table
