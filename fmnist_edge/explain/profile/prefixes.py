"""Cut a `.tflite` file after each of its ops, because LiteRT's Python API has no profiler.

The time of an op is the difference between two files that end after it and before it. This is an estimate: a cut can
prevent a kernel from being fused with the next one, and the first op also has what a call costs in itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fmnist_edge.errors import ArtifactError
from fmnist_edge.exporters.flatbuffer import op_kinds, pack, unpack

__all__ = ["Prefix", "prefixes"]


@dataclass(frozen=True)
class Prefix:
    """A file that ends after an op. `name`: of the op's first output; `kind`: the op's type."""

    name: str
    kind: str
    content: bytes


def prefixes(content: bytes) -> Iterator[Prefix]:
    """A prefix for each op that depends on the input, in graph order; the last one is the whole graph.

    Each returns all tensors that later ops read. Ops on constants, such as DEQUANTIZE of float16 weights, belong to
    the prefix of the op that follows. Raises ArtifactError when no op depends on the input.
    """
    model = unpack(content)
    graph, kinds = model.subgraphs[0], op_kinds(model)
    operators, ends = list(graph.operators), [int(index) for index in graph.outputs]
    model.signatureDefs = None  # they name outputs that a prefix does not have
    dependent = {int(index) for index in graph.inputs}
    found = False
    for number, op in enumerate(operators):
        if dependent.isdisjoint(int(index) for index in op.inputs):
            continue
        dependent.update(int(index) for index in op.outputs)
        found = True
        graph.operators = operators[: number + 1]
        graph.outputs = open_ends(operators, number + 1, ends, dependent)
        yield Prefix(graph.tensors[op.outputs[0]].name.decode(), kinds[number], pack(model))
    if not found:
        raise ArtifactError("no op of the file depends on its input; export the model again")


def open_ends(operators: list[Any], count: int, ends: list[int], dependent: set[int]) -> list[int]:
    """Tensors that the first `count` ops write and later ops read, or that the graph returns; or the last op's."""
    written = [int(index) for op in operators[:count] for index in op.outputs]
    later = {int(index) for op in operators[count:] for index in op.inputs} | set(ends)
    return [index for index in written if index in later and index in dependent] or [
        int(index) for index in operators[count - 1].outputs
    ]
