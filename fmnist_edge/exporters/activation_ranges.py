"""Measure the activation ranges of a float TFLite graph on calibration images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_edge.exporters.flatbuffer import op_kinds, pack, unpack
from fmnist_edge.exporters.several import Samples, parts
from fmnist_edge.exporters.shared_scales import has_range, set_range, widen_shared

__all__ = ["Measured", "is_lost", "is_rounded_to_zero", "measure", "typical_value"]

SAMPLED = 1024  # values of a tensor that its typical value is told from
LEVELS = 255  # steps of eight bits
# How many steps the typical value of a tensor has to be. Squares and other activations are mostly small and may be 0;
# what comes out of these ops is multiplied or added to later, and what is cut off is missed.
LEAST, LEAST_AFTER = 0.005, {"SOFTMAX": 0.5, "EXP": 0.5, "RSQRT": 0.5, "SELECT": 0.5, "SELECT_V2": 0.5}

FIXED_RANGES = {"SOFTMAX": (0.0, LEVELS / 256)}  # whatever its values are


@dataclass(frozen=True)
class Measured:
    """A float file whose tensors have the ranges that calibration images produce.

    Attributes:
        content: the `.tflite` file.
        lost: names of tensors whose typical value is next to nothing in steps of eight bits of their range: of
            1 / sqrt(variance) when one image is constant, or of logits that are masked with -1e9. In int8 nearly all of
            their values would be 0. What a logarithm reads is lost, too, if its smallest value would be 0.
    """

    content: bytes
    lost: tuple[str, ...]


def measure(content: bytes, batches: Iterable[Samples]) -> Measured:
    """Replace the ranges in a float file by the minima and maxima that `batches` produce, see also `shared_scales`.

    The converter's calibrator reads an op's inputs again after the op has run. An op that works in place has
    overwritten them by then: in a chain of MUL and ADD each tensor's range also covers the values of the next tensor
    (https://github.com/tensorflow/tensorflow/issues/127842). Here every tensor has its own memory.

    Args:
        content: a `.tflite` file that the converter has calibrated but not quantised.
        batches: float32, each of the shape of the graph's input; a tuple for several inputs.
    """
    model = unpack(content)
    tensors = model.subgraphs[0].tensors
    found = [index for index, tensor in enumerate(tensors) if has_range(tensor)]
    lows, highs = np.full(len(found), np.inf), np.full(len(found), -np.inf)
    operators = model.subgraphs[0].operators
    maker = {int(index): kind for kind, op in zip(op_kinds(model), operators, strict=True) for index in op.outputs}
    interpreter = preserving_interpreter(content)
    inputs = [detail["index"] for detail in interpreter.get_input_details()]
    typical: list[list[float]] = [[] for _ in found]
    for batch in batches:
        for index, array in zip(inputs, parts(batch), strict=True):
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        values = [interpreter.get_tensor(index) for index in found]
        lows = np.minimum(lows, [value.min() for value in values])
        highs = np.maximum(highs, [value.max() for value in values])
        for index, medians, value in zip(found, typical, values, strict=True):
            # Most probabilities of a softmax are next to nothing; the largest one counts.
            medians += typical_value(value.max(axis=-1) if maker.get(index) == "SOFTMAX" else value)
    for index, low, high in zip(found, lows, highs, strict=True):
        set_range(tensors[index], low, high)
    ranges = {index: (low, high) for index, low, high in zip(found, lows, highs, strict=True)}
    lost = []
    for index, medians in zip(found, typical, strict=True):
        kind = maker.get(index, "")
        low, high = FIXED_RANGES.get(kind, ranges[index])
        if is_lost(low, high, medians, LEAST_AFTER.get(kind)):
            lost.append(tensors[index].name.decode())
    for kind, op in zip(op_kinds(model), model.subgraphs[0].operators, strict=True):
        if kind == "LOG" and is_rounded_to_zero(*ranges.get(int(op.inputs[0]), (1.0, 1.0))):
            lost.append(tensors[op.inputs[0]].name.decode())
    widen_shared(model, lost)
    return Measured(pack(model), tuple(lost))


def is_lost(low: float, high: float, typical: Sequence[float], least: float | None = None) -> bool:
    """Whether the typical values of a tensor are next to nothing in steps of eight bits of its range.

    Args:
        typical: see `typical_value`, of all images.
        least: how many steps they have to be; None for LEAST.
    """
    step = (max(high, 0.0) - min(low, 0.0)) / LEVELS
    return bool(typical) and float(np.median(typical)) < step * (LEAST if least is None else least)


def is_rounded_to_zero(low: float, high: float) -> bool:
    """Whether eight bits make 0 of the smallest positive value. Its logarithm would be anything."""
    return 0 < low < max(high, 0.0) / LEVELS / 2


def typical_value(values: np.ndarray) -> list[float]:
    """The median of |values| without zeros, as a list; an empty list for zeros alone."""
    flat = values.reshape(-1)
    sample = np.abs(flat[:: max(1, flat.size // SAMPLED)])
    kept = sample[sample > 0]
    return [float(np.median(kept))] if kept.size else []


def preserving_interpreter(content: bytes) -> Any:
    """An interpreter, ready to run, in which every tensor can be read after a run."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    return interpreter
