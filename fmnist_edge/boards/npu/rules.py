"""Hold the ops of a `.tflite` file to a maker's list of ops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fmnist_edge.boards.npu.placement import OnCpu, Placement
from fmnist_edge.catalog.npus import Npu, OpRule
from fmnist_edge.errors import ArtifactError, one_line

__all__ = ["FileOp", "judge", "ops_of"]

CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")  # one of their sides is in float, by what they are for
WEIGHTS = 1  # the operand that is the weights, of ops that have some
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


@dataclass(frozen=True)
class FileOp:
    """An op as a rule sees it.

    Attributes:
        kind, name: its type, such as "CONV_2D", and its first output's name.
        types: types of its activations, such as "INT8"; not of its constants.
        fused: whether it has a fused activation.
        weight_scales: how many scales its weights have; 0 for an op without weights.
    """

    kind: str
    name: str
    types: tuple[str, ...]
    fused: bool = False
    weight_scales: int = 0


def judge(npu: Npu, ops: Sequence[FileOp]) -> Placement:
    """Where the ops run by the list of `npu`."""
    staying = tuple(OnCpu(op.kind, op.name, reason) for op in ops if (reason := why_not(npu, op)))
    kinds = dict.fromkeys(op.kind for op in ops)
    limits = [f"{kind}: {npu.rules[kind].limit}" for kind in kinds if kind in npu.rules and npu.rules[kind].limit]
    return Placement(npu.name, len(ops), len(ops) - len(staying), staying, (*npu.limits, *limits))


def why_not(npu: Npu, op: FileOp) -> str:
    """Why an op is not supported; empty when the list has nothing against it."""
    rule: OpRule | None = npu.rules.get(op.kind)
    if rule is None:
        return "not in the list of ops"
    wrong = [kind for kind in op.types if kind not in rule.types]
    if wrong and not (op.kind in CONVERSIONS and len(wrong) < len(op.types)):
        return f"type {wrong[0]}; the list has {', '.join(rule.types)}"
    if op.fused and not rule.fused_activation:
        return "has a fused activation, which the list excludes"
    if op.weight_scales > 1 and not rule.scale_per_channel:
        return "its weights have several scales; the list has weights of one scale"
    return ""


def ops_of(content: bytes, path: str) -> list[FileOp]:
    """The ops of a `.tflite` file, in graph order. Raises ArtifactError for a file that cannot be read."""
    from fmnist_edge.exporters.flatbuffer import unpack

    try:
        return list(read_ops(unpack(content)))
    except Exception as error:  # the schema's reader raises anything on a damaged file
        raise ArtifactError(f"{path}: not a readable .tflite file ({one_line(error, 80)})") from None


def read_ops(model: Any) -> Iterator[FileOp]:
    from fmnist_edge.exporters.flatbuffer import op_kinds, schema_module

    names = {value: name for name, value in vars(schema_module().TensorType).items() if isinstance(value, int)}
    for number, graph in enumerate(model.subgraphs):
        for kind, op in zip(op_kinds(model, number), graph.operators, strict=True):
            tensors = [graph.tensors[index] for index in (*op.inputs, *op.outputs) if index >= 0]
            computed = [tensor for tensor in tensors if is_computed(model, tensor)]
            scales = graph.tensors[op.inputs[WEIGHTS]].quantization.scale if kind in WEIGHTED else None
            yield FileOp(
                kind,
                graph.tensors[op.outputs[0]].name.decode() if len(op.outputs) else "",
                tuple(dict.fromkeys(names[tensor.type] for tensor in computed)),
                fused=bool(getattr(op.builtinOptions, "fusedActivationFunction", 0)),
                weight_scales=0 if scales is None else len(scales),
            )


def is_computed(model: Any, tensor: Any) -> bool:
    """Whether the model computes a tensor, rather than storing it."""
    data = model.buffers[tensor.buffer].data
    return data is None or len(data) == 0
