"""Repair what ONNX Runtime's converters break in graphs with Loop, Scan and If; a sound graph stays as it is.

The converters look at the inputs of nodes, but not at what the bodies of nodes use of the graph around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fmnist_edge.exporters.onnx_names import all_nodes, names_read_by, subgraphs

if TYPE_CHECKING:
    import onnx

__all__ = ["repair", "used_in_bodies"]


def used_in_bodies(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """Copies of the graph's weights that bodies of its nodes use."""
    names = {name for node in graph.node for name in names_read_by(node)[len(node.input) :]}
    return [type(item).FromString(item.SerializeToString()) for item in graph.initializer if item.name in names]


def repair(graph: onnx.GraphProto, weights: Sequence[onnx.TensorProto]) -> None:
    """Repair a graph in place.

    - Weights that only bodies use were removed: they are taken from `weights` (`used_in_bodies`).
    - A tensor was cast once for each node that needs it, with one name: one Cast stays.
    - An input that is left out was cast too.
    - Casts of a body's tensors were put into the graph around it: they move into the body.
    - Nodes stood before those that make what their bodies use: they are sorted again.
    """
    remove_repeated_casts(graph)
    move_casts(graph)
    restore(graph, weights)
    sort(graph)


def remove_repeated_casts(graph: onnx.GraphProto) -> None:
    kept: list[onnx.NodeProto] = []
    made: set[str] = set()
    absent: set[str] = set()
    for node in graph.node:
        if node.op_type == "Cast" and not node.input[0]:
            absent.add(node.output[0])
        elif node.op_type != "Cast" or node.output[0] not in made:
            kept.append(node)
            made.add(node.output[0])
    if len(kept) == len(graph.node):
        return
    set_nodes(graph, kept)
    for node in all_nodes(graph):
        for position, name in enumerate(node.input):
            if name in absent:
                node.input[position] = ""


def move_casts(graph: onnx.GraphProto) -> None:
    """Move each Cast of a tensor that a body makes into this body."""
    for owner in graph.node:
        for _, body in subgraphs(owner):
            made = {item.name for item in (*body.input, *body.initializer)}
            made.update(name for node in body.node for name in node.output)
            casts = [node for node in graph.node if node.op_type == "Cast" and node.input[0] in made]
            body.node.extend(casts)
            moved = {node.output[0] for node in casts}
            if moved:
                set_nodes(graph, [node for node in graph.node if node.output[0] not in moved])
                move_casts(graph)  # the nodes were copied
                return
            move_casts(body)


def restore(graph: onnx.GraphProto, weights: Sequence[onnx.TensorProto]) -> None:
    made = {item.name for item in (*graph.input, *graph.initializer)}
    made.update(name for node in graph.node for name in node.output)
    read = {name for node in graph.node for name in names_read_by(node)}
    graph.initializer.extend(item for item in weights if item.name in read - made)


def sort(graph: onnx.GraphProto) -> None:
    """Put each node behind those whose outputs it or its bodies use, and leave the order otherwise."""
    for node in graph.node:
        for _, body in subgraphs(node):
            sort(body)
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    needed = [{makers[name] for name in names_read_by(node) if name in makers} for node in graph.node]
    order: list[int] = []
    placed: set[int] = set()
    for index in range(len(graph.node)):
        pending = [index]
        while pending:
            missing = sorted(needed[pending[-1]] - placed - {pending[-1]}, reverse=True)
            if missing and len(pending) <= len(graph.node):  # longer: a cycle, which the checker refuses
                pending += missing
            else:
                last = pending.pop()
                if last not in placed:
                    placed.add(last)
                    order.append(last)
    if order != sorted(order):
        set_nodes(graph, [graph.node[index] for index in order])


def set_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
