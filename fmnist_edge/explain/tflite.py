"""The tensors of a `.tflite` file, by LiteRT's own kernels: XNNPACK's show none of those between its ops."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from fmnist_edge.explain.probe import INPUT, OUTPUT, Key, numbered
from fmnist_edge.runtime.engine import TensorSpec
from fmnist_edge.runtime.engines.litert import LiteRTEngine
from fmnist_edge.runtime.engines.tflite_file import spec
from fmnist_edge.runtime.runner import chunks, run_chunk

__all__ = ["TFLiteProbe"]

BRIDGES = ("QUANTIZE", "DEQUANTIZE")


class TFLiteProbe(LiteRTEngine):
    """See `fmnist_edge.explain.probe.Probe`. Converters name tensors after all the TensorFlow ops they fused."""

    engine = "litert-builtin"

    def __init__(self, path: str) -> None:
        super().__init__(path, kernels="BUILTIN_WITHOUT_DEFAULT_DELEGATES", preserve_all_tensors=True)
        self.relus: dict[Key, Key] = {}  # part of the op before in every file
        details = {item["index"]: item for item in self._interpreter.get_tensor_details()}
        self._index: dict[Key, int] = {INPUT: self._input_index}
        key = numbered()
        for index in computed(self._interpreter, self._input_index):
            if holds_values(details[index]):
                self._index[OUTPUT if index == self._output_index else key(base(details[index]["name"]))] = index
        self._index[OUTPUT] = self._output_index  # also where a bridge makes it
        self.tensors: dict[Key, TensorSpec] = {key: spec(details[index]) for key, index in self._index.items()}

    def capture(self, images: np.ndarray, keys: Iterable[Key]) -> dict[Key, np.ndarray]:
        pieces: dict[Key, list[np.ndarray]] = {key: [] for key in keys}
        for chunk in chunks(self.input.quantize(images), self.input.shape[0]):
            run_chunk(self, chunk)
            for key, rows in pieces.items():
                rows.append(self._interpreter.get_tensor(self._index[key]))
        return {key: np.concatenate(rows)[: len(images)] for key, rows in pieces.items()}


def computed(interpreter: Any, image: int) -> list[int]:
    """Indices of the tensors that depend on the image, in execution order, without what bridges make."""
    alive, found = {image}, []
    for op in interpreter._get_ops_details():
        if not alive.isdisjoint(op["inputs"]):
            alive.update(op["outputs"])
            found += [] if op["op_name"] in BRIDGES else list(op["outputs"])
    return found


def holds_values(detail: dict[str, Any]) -> bool:
    """Floats, or integers that stand for some; not the shapes that an open batch makes a file compute."""
    return len(detail["shape"]) > 0 and (detail["dtype"] == np.float32 or bool(detail["quantization"][0]))


def base(name: str) -> str:
    """Weights and tensors of a name are told apart by digits behind it; which have them differs between files."""
    return re.sub(r"\d+$", "", name)
