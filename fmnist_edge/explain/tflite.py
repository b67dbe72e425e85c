"""Read the tensors of a `.tflite` file with LiteRT's own kernels, because XNNPACK hides intermediate tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from fmnist_edge.explain.probe import INPUT, OUTPUT, Key, key_counter
from fmnist_edge.runtime.engine import TensorSpec
from fmnist_edge.runtime.engines.litert import LiteRTEngine
from fmnist_edge.runtime.engines.tflite_file import spec
from fmnist_edge.runtime.runner import chunks, run_chunk

__all__ = ["TFLiteProbe"]

CONVERSION_OPS = ("QUANTIZE", "DEQUANTIZE")


class TFLiteProbe(LiteRTEngine):
    """See `fmnist_edge.explain.probe.Probe`. A tensor's name lists all TensorFlow ops that were fused."""

    engine = "litert-builtin"

    def __init__(self, path: str) -> None:
        super().__init__(path, kernels="BUILTIN_WITHOUT_DEFAULT_DELEGATES", preserve_all_tensors=True)
        self.relus: dict[Key, Key] = {}  # always fused with the op before
        details = {item["index"]: item for item in self._interpreter.get_tensor_details()}
        self._index: dict[Key, int] = {INPUT: self._input_index}
        key = key_counter()
        for index in computed_tensors(self._interpreter, self._input_index):
            if holds_values(details[index]):
                self._index[OUTPUT if index == self._output_index else key(base_name(details[index]["name"]))] = index
        self._index[OUTPUT] = self._output_index  # even if a conversion op computes it
        self.tensors: dict[Key, TensorSpec] = {key: spec(details[index]) for key, index in self._index.items()}

    def capture(self, images: np.ndarray, keys: Iterable[Key]) -> dict[Key, np.ndarray]:
        pieces: dict[Key, list[np.ndarray]] = {key: [] for key in keys}
        for chunk in chunks(self.input.quantize(images), self.input.shape[0]):
            run_chunk(self, chunk)
            for key, rows in pieces.items():
                rows.append(self._interpreter.get_tensor(self._index[key]))
        return {key: np.concatenate(rows)[: len(images)] for key, rows in pieces.items()}


def computed_tensors(interpreter: Any, image: int) -> list[int]:
    """Indices of the tensors that depend on the image, in execution order, without outputs of conversion ops."""
    dependent, found = {image}, []
    for op in interpreter._get_ops_details():
        if not dependent.isdisjoint(op["inputs"]):
            dependent.update(op["outputs"])
            found += [] if op["op_name"] in CONVERSION_OPS else list(op["outputs"])
    return found


def holds_values(detail: dict[str, Any]) -> bool:
    """Whether a tensor holds floats or quantised values, not shapes, which files with an open batch compute."""
    return len(detail["shape"]) > 0 and (detail["dtype"] == np.float32 or bool(detail["quantization"][0]))


def base_name(name: str) -> str:
    """The name without the digits that distinguish equal names; different files append them to different tensors."""
    return re.sub(r"\d+$", "", name)
