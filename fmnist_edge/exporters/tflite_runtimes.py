"""Which releases of TFLite's runtimes run a file, by the versions of its ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fmnist_edge.catalog.runtimes import Runtime
from fmnist_edge.exporters.flatbuffer import op_kinds, schema_module, unpack

__all__ = ["obstacles_in"]


def obstacles_in(content: bytes) -> Callable[[Runtime], list[str]]:
    """A function that lists what a runtime lacks for this file; an empty list for one that runs it."""
    model = unpack(content)
    graphs = [(graph, op_kinds(model, number)) for number, graph in enumerate(model.subgraphs)]
    needed = sorted(ops_of(model))
    dense = any(has_per_channel_dense(graph, kinds) for graph, kinds in graphs)
    in_16_bits = sorted({kind for graph, kinds in graphs for kind in ops_in_16_bits(graph, kinds)})

    def obstacles(runtime: Runtime) -> list[str]:
        missing = [f"{op} version {version}" for op, version in needed if version > runtime.op_version(op)]
        missing += [f"{op} in 16 bits" for op in in_16_bits if not runtime.computes_16_bits(op)]
        if dense and not runtime.per_channel_dense:
            missing.append("Dense layers with one scale per channel")
        return missing

    return obstacles


def ops_in_16_bits(graph: Any, kinds: list[str]) -> set[str]:
    """The types of the ops of a SubGraphT that read or write a tensor of int16."""
    types = schema_module().TensorType
    wide = {index for index, tensor in enumerate(graph.tensors) if tensor.type == types.INT16}
    ops = zip(kinds, graph.operators, strict=True)
    return {kind for kind, op in ops if not wide.isdisjoint([*op.inputs, *op.outputs])}


def ops_of(model: Any) -> set[tuple[str, int]]:
    """The ops of a ModelT with their versions, from all its graphs."""
    return {
        (kind, model.operatorCodes[op.opcodeIndex].version)
        for number, graph in enumerate(model.subgraphs)
        for kind, op in zip(op_kinds(model, number), graph.operators, strict=True)
    }


def has_per_channel_dense(graph: Any, kinds: list[str]) -> bool:
    """Whether an integer FULLY_CONNECTED of a SubGraphT has several scales. A float one has a version of its own."""
    types = schema_module().TensorType
    for kind, op in zip(kinds, graph.operators, strict=True):
        if kind == "FULLY_CONNECTED":
            activations, weights = (graph.tensors[index] for index in op.inputs[:2])
            scales = None if weights.quantization is None else weights.quantization.scale
            if activations.type != types.FLOAT32 and scales is not None and len(scales) > 1:
                return True
    return False
