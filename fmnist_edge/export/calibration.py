"""The ranges that calibration images give to the tensors of a float TFLite graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fmnist_edge.export.flatbuffer import pack, unpack

__all__ = ["calibrated"]


def calibrated(content: bytes, batches: Iterable[np.ndarray]) -> bytes:
    """`content`, a float file with the minima and maxima that the converter found, with those that the images cause.

    The converter's calibrator looks at an op's inputs once more after the op has run, when an op that works in place
    has overwritten them: in a chain of MUL and ADD each tensor gets its reader's range as well as its own
    (https://github.com/tensorflow/tensorflow/issues/127842). Here every tensor keeps its memory.

    Args:
        batches: float32, of the shape of the graph's input.
    """
    model = unpack(content)
    tensors = model.subgraphs[0].tensors
    found = [index for index, tensor in enumerate(tensors) if has_range(tensor)]
    lows, highs = np.full(len(found), np.inf), np.full(len(found), -np.inf)
    interpreter = keeping_interpreter(content)
    image = interpreter.get_input_details()[0]["index"]
    for batch in batches:
        interpreter.set_tensor(image, batch)
        interpreter.invoke()
        values = [interpreter.get_tensor(index) for index in found]
        lows = np.minimum(lows, [value.min() for value in values])
        highs = np.maximum(highs, [value.max() for value in values])
    for index, low, high in zip(found, lows, highs, strict=True):
        quantization = tensors[index].quantization
        quantization.min, quantization.max = np.array([low], np.float32), np.array([high], np.float32)
    return pack(model)


def has_range(tensor: Any) -> bool:
    """Whether the calibrator gave a TensorT a range."""
    return tensor.quantization is not None and tensor.quantization.min is not None


def keeping_interpreter(content: bytes) -> Any:
    """An interpreter in which every tensor can be read after a run, ready to run."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    return interpreter
