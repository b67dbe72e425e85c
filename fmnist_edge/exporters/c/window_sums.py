"""Ops that depend on one sum of neighbouring channels are one table, as in local response normalisation.

The integer form of that layer adds up the squares of neighbours by convolutions, and puts each sum through sigmoids.
A convolution whose weights are 0 or one value, in a band around every channel, gives a function of that sum alone. So
do all elementwise ops that follow. The table has the numpy engine's result for every sum that can occur.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fmnist_edge.exporters.c.binary import formula_for
from fmnist_edge.exporters.c.graph import ALL_INT8, Graph, Node, Window, evaluate, pair_function, used, windows
from fmnist_edge.exporters.c.linear import weights_of
from fmnist_edge.exporters.c.memory import slices
from fmnist_edge.runtime.engines.numpy.model import Op, Quantization, Tensor

__all__ = ["with_window_sums"]

MOST_NEIGHBOURS = 32  # FE_MOST_NEIGHBOURS in kernels/window_sums.h


@dataclass(frozen=True)
class Function:
    """A function of a window's sum. `results`: int8, for every sum from window.least to window.most."""

    window: Window
    results: np.ndarray


def with_window_sums(graph: Graph) -> Graph:
    """The same graph, in which every op that depends on a single window's sum is one table."""
    functions: dict[int, Function] = {}
    producers = {node.output: node for node in graph.nodes}
    parts = set(slices(graph))  # the pixels of a part of a concatenation do not follow one another
    nodes = []
    for node in graph.nodes:
        found = function_of(graph, node, producers, functions)
        if found is not None and not (found.window.across and parts & {found.window.source, node.output}):
            functions[node.output] = found
            inputs = (found.window.source,)
            node = replace(node, kind="window", inputs=inputs, table=found.results, window=found.window)
        nodes.append(node)
    return used(with_products(used(replace(graph, nodes=tuple(nodes))), parts))


def function_of(
    graph: Graph, node: Node, producers: dict[int, Node], functions: dict[int, Function]
) -> Function | None:
    """The output of `node` as a function of a window's sum; None when it is none."""
    if node.kind == "convolve":
        return of_convolution(graph, node, producers)
    if node.kind not in ("table", "binary"):
        return None
    operands = [functions.get(number) for number in node.inputs]
    found = next(filter(None, operands), None)
    if found is None:
        return None
    columns = []
    for number, operand in zip(node.inputs, operands, strict=True):
        value = graph.values[number]
        if operand is not None:
            if operand.window != found.window or value.shape != graph.values[node.output].shape:
                return None
            columns.append(operand.results.astype(np.int64) + 128)
        elif value.data is not None and value.size == 1:
            columns.append(np.full(found.results.shape, int(value.data.item()) + 128))
        else:
            return None
    if node.kind == "table":
        return replace(found, results=np.asarray(node.table)[columns[0]])
    return replace(found, results=pair_function(node.op)[columns[0], columns[1]])


def of_convolution(graph: Graph, node: Node, producers: dict[int, Node]) -> Function | None:
    op, number = node.op, node.inputs[0]
    value = graph.values[number]
    if op.kind != "CONV_2D" or value.shape != graph.values[node.output].shape:
        return None
    found = weights_of(op)
    weights = np.unique(found.matrix[found.matrix != 0])
    bias = found.bias + value.zero_point * found.sums
    alike = all((array == array[0]).all() for array in (bias, found.factors, found.shifts))
    if len(weights) != 1 or not alike:
        return None
    band = band_of(op, found.matrix != 0)
    if band is None:
        return None
    before, after = band
    producer = producers.get(number)
    from_table = producer is not None and producer.kind == "table"
    source, values = (
        (producer.inputs[0], np.asarray(producer.table)) if producer is not None and from_table else (number, ALL_INT8)
    )
    count, addends = before + after + 1, values.astype(np.int64) - value.zero_point
    least, most = count * min(0, int(addends.min())), count * max(0, int(addends.max()))
    across = found.matrix.shape[1] > 1
    window = Window(source, values.tobytes(), value.zero_point, before, after, across, least, most)
    return Function(window, results_of(op, int(weights[0]), window))


def band_of(op: Op, connected: np.ndarray) -> tuple[int, int] | None:
    """(before, after) when every output channel adds up exactly the neighbours from `before` to `after`; else None.

    `connected`: bool (rows, columns, input channels, output channels). Several columns are pixels of one line.
    """
    down, across = windows(op)
    size, channels = connected.shape[1], connected.shape[2]
    if connected.shape[0] != 1 or down.stride != 1 or across.stride != 1 or across.dilation != 1 or down.count < 1:
        return None
    if across.before + across.after != size - 1:
        return None
    place = (np.arange(size)[:, None] - across.before) * channels + np.arange(channels)
    distance = place[:, :, None] - np.arange(channels)
    if not connected.any():
        return None
    before, after = -int(distance[connected[0]].min()), int(distance[connected[0]].max())
    if before < 0 or after < 0 or before + after > MOST_NEIGHBOURS:
        return None
    reaches = size == 1 or (before <= across.before * channels and after <= across.after * channels)
    inside = (distance >= -before) & (distance <= after)
    return (before, after) if reaches and np.array_equal(inside, connected[0]) else None


def results_of(op: Op, weight: int, window: Window) -> np.ndarray:
    """What the numpy engine computes for every sum: the same op, for one pixel a sum whose channels add up to it."""
    sums = np.arange(window.least, window.most + 1)
    count = window.before + window.after + 1
    addends = sums[:, None] // count + (np.arange(count) < sums[:, None] % count)
    pixels = (addends + window.zero_point).astype(np.int8)
    image = replace(op.operand(0), shape=(1, 1, len(sums), count))
    filters = replace(
        one_channel(op.operand(1)), shape=(1, 1, 1, count), data=np.full((1, 1, 1, count), weight, np.int8)
    )
    bias = op.optional(2)
    first = None if bias is None else replace(one_channel(bias), shape=(1,), data=op.constant(2)[:1])
    output = replace(op.output, shape=(1, 1, len(sums), 1))
    return evaluate(replace(op, inputs=(image, filters, first), output=output), pixels.reshape(image.shape))


def one_channel(tensor: Tensor) -> Tensor:
    """A constant's quantisation, for its first channel alone."""
    found = tensor.quantization
    return (
        tensor
        if found is None
        else replace(tensor, quantization=Quantization(found.scales[:1], found.zero_points[:1], 0))
    )


def with_products(graph: Graph, parts: set[int]) -> Graph:
    """The same graph, in which the product of a window's result with its source is one step with the window."""
    producers = {node.output: node for node in graph.nodes}
    readers = [number for node in graph.nodes for number in node.inputs]
    nodes = []
    for node in graph.nodes:
        factors = [producers[number] for number in node.inputs if is_factor(producers.get(number), node)]
        if node.kind == "binary" and node.op.kind == "MUL" and len(factors) == 1 and len(set(node.inputs)) == 2:
            (factor,) = factors
            same = graph.values[factor.output].shape == graph.values[node.output].shape
            gaps = factor.window is not None and factor.window.across and node.output in parts
            alone = readers.count(factor.output) == 1 and factor.output != graph.output
            if same and alone and not gaps and formula_for(node.op, pair_function(node.op)) is not None:
                node = replace(factor, op=node.op, output=node.output)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def is_factor(factor: Node | None, node: Node) -> bool:
    return factor is not None and factor.kind == "window" and factor.inputs[0] in node.inputs
