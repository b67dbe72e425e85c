"""Measure the activation ranges of a float TFLite graph on calibration images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fmnist_edge.export.flatbuffer import pack, unpack
from fmnist_edge.export.shared_scales import has_range, set_range, widen_shared

__all__ = ["measure_ranges"]


def measure_ranges(content: bytes, batches: Iterable[np.ndarray]) -> bytes:
    """Replace the ranges in a float file by the minima and maxima that `batches` produce, see also `shared_scales`.

    The converter's calibrator reads an op's inputs again after the op has run. An op that works in place has
    overwritten them by then: in a chain of MUL and ADD each tensor's range also covers the values of the next tensor
    (https://github.com/tensorflow/tensorflow/issues/127842). Here every tensor has its own memory.

    Args:
        content: a `.tflite` file that the converter has calibrated but not quantised.
        batches: float32, each of the shape of the graph's input.
    """
    model = unpack(content)
    tensors = model.subgraphs[0].tensors
    found = [index for index, tensor in enumerate(tensors) if has_range(tensor)]
    lows, highs = np.full(len(found), np.inf), np.full(len(found), -np.inf)
    interpreter = preserving_interpreter(content)
    image = interpreter.get_input_details()[0]["index"]
    for batch in batches:
        interpreter.set_tensor(image, batch)
        interpreter.invoke()
        values = [interpreter.get_tensor(index) for index in found]
        lows = np.minimum(lows, [value.min() for value in values])
        highs = np.maximum(highs, [value.max() for value in values])
    for index, low, high in zip(found, lows, highs, strict=True):
        set_range(tensors[index], low, high)
    widen_shared(model)
    return pack(model)


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
