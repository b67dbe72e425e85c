"""Ranges of tensors that TFLite's integer kernels force to share one scale."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import numpy as np

from fmnist_edge.exporters.flatbuffer import op_kinds

__all__ = ["SHARING", "has_range", "set_range", "widen_shared"]

# Their inputs and output have the same scale.
SHARING = frozenset(
    re.findall(
        r"\w+",
        """
    AVERAGE_POOL_2D BATCH_TO_SPACE_ND BROADCAST_TO CONCATENATION DEPTH_TO_SPACE EXPAND_DIMS GATHER GATHER_ND MAXIMUM
    MAX_POOL_2D MINIMUM MIRROR_PAD PACK PAD PADV2 REDUCE_MAX REDUCE_MIN RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR
    REVERSE_V2 SELECT SELECT_V2 SLICE SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQUEEZE STRIDED_SLICE TILE TOPK_V2
    TRANSPOSE UNPACK
    """,
    )
)


def widen_shared(model: Any, lost: Collection[str] = ()) -> None:
    """Widen the ranges of tensors that share a scale to what ops outside of the group read; changes a ModelT in place.

    The converter gives the range of an op's output to its inputs too, and so to the op that made them. That is right
    while nothing else reads them: what a MINIMUM cuts off, nobody sees. In `relu(x) + exp(minimum(x, 0))`, however, the
    RELU reads x too, and would get no positive number.

    Args:
        lost: names of tensors whose ops will stay in float, and so share no scale.
    """
    graph = model.subgraphs[0]
    kinds = op_kinds(model)
    floats = {index for index, tensor in enumerate(graph.tensors) if tensor.name.decode() in lost}
    sharing = {
        number
        for number, (kind, op) in enumerate(zip(kinds, graph.operators, strict=True))
        if kind in SHARING and floats.isdisjoint((*op.inputs, *op.outputs))
    }
    readers: dict[int, set[int]] = {}  # of tensors with a range: constants, such as a shape, have none
    for number, op in enumerate(graph.operators):
        for index in map(int, op.inputs):
            if index >= 0 and has_range(graph.tensors[index]):
                readers.setdefault(index, set()).add(number)
    left = set(sharing)
    while left:
        group = connected(min(left), sharing, graph.operators, readers)
        left -= group
        widen(graph, group, readers)


def connected(start: int, sharing: set[int], operators: Any, readers: dict[int, set[int]]) -> set[int]:
    """The numbers of the ops in `sharing` that chains of tensors join with the op `start`."""
    makers = {int(index): number for number in sharing for index in operators[number].outputs}
    found, left = {start}, [start]
    while left:
        op = operators[left.pop()]
        near: set[int] = set()
        for index in map(int, (*op.inputs, *op.outputs)):
            near |= readers.get(index, set()) & sharing
            if index in makers:
                near.add(makers[index])
        left += near - found
        found |= near
    return found


def widen(graph: Any, group: set[int], readers: dict[int, set[int]]) -> None:
    """Let every range in a group of ops cover those of its tensors that ops outside of it, or the user, read."""
    members = {
        int(index) for number in group for index in (*graph.operators[number].inputs, *graph.operators[number].outputs)
    }
    ranged = {index: graph.tensors[index] for index in members if index >= 0 and has_range(graph.tensors[index])}
    outputs = {int(index) for index in graph.outputs}
    seen = [ranged[index] for index in ranged if readers.get(index, set()) - group or index in outputs]
    if not seen:
        return
    low = min(float(tensor.quantization.min[0]) for tensor in seen)
    high = max(float(tensor.quantization.max[0]) for tensor in seen)
    for tensor in ranged.values():
        own = tensor.quantization
        set_range(tensor, min(low, float(own.min[0])), max(high, float(own.max[0])))


def has_range(tensor: Any) -> bool:
    """Whether the converter's calibrator gave a TensorT a range."""
    return tensor.quantization is not None and tensor.quantization.min is not None


def set_range(tensor: Any, low: float, high: float) -> None:
    tensor.quantization.min, tensor.quantization.max = np.array([low], np.float32), np.array([high], np.float32)
