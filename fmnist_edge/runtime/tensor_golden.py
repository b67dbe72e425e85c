"""Golden vectors of models with the task `tensor`: named inputs with their outputs at export."""

from __future__ import annotations

import binascii
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.golden import SelfTest, VectorResult, pack, unpack
from fmnist_edge.runtime.tensors import NamedTensor

__all__ = ["TensorGolden"]


@dataclass(frozen=True)
class TensorGolden:
    """The golden vectors of an artifact, from the manifest's section "golden".

    Attributes:
        inputs: name -> float32 (n, *shape), the model's own numbers.
        outputs: name -> float32 (n, *shape).
        tolerances: name of an output -> largest allowed difference of a value; correct engines round differently.
        engine: name and version of the engine that computed the outputs.
    """

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    tolerances: Mapping[str, float]
    engine: str

    def as_dict(self) -> JsonObject:
        return {
            "inputs": {name: pack(array) for name, array in self.inputs.items()},
            "outputs": {
                name: {**pack(array), "tolerance": self.tolerances[name]} for name, array in self.outputs.items()
            },
            "engine": self.engine,
        }

    @classmethod
    def from_dict(cls, value: Any, contract: Contract) -> TensorGolden:
        """Read what `as_dict` writes. Raises ArtifactError when `value` is damaged or does not fit the contract."""
        try:
            inputs = unpacked(value["inputs"], contract.inputs)
            outputs = unpacked(value["outputs"], contract.outputs)
            counts = {len(array) for array in (*inputs.values(), *outputs.values())}
            if len(counts) != 1 or 0 in counts:
                raise ValueError(f"{sorted(counts)} vectors")
            tolerances = {name: float(value["outputs"][name]["tolerance"]) for name in outputs}
            if not all(math.isfinite(number) and number >= 0 for number in tolerances.values()):
                raise ValueError(f"tolerances {list(tolerances.values())}")
            return cls(inputs, outputs, tolerances, str(value.get("engine")))
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, zlib.error, binascii.Error) as error:
            raise ArtifactError(
                f"golden vectors: {type(error).__name__} at {error}; the manifest is damaged, export the model again"
            ) from None

    def compare(self, found: Mapping[str, np.ndarray], engine: str) -> SelfTest:
        """Compare outputs float32 (n, *shape), computed from `inputs`, with those at export, one by one."""
        results = []
        for name, expected in self.outputs.items():
            tolerance = self.tolerances[name]
            deltas = np.abs(expected - found[name]).reshape(len(expected), -1).max(axis=1)
            results += [
                VectorResult(number, bool(delta <= tolerance), float(delta), None, None, name, tolerance)
                for number, delta in enumerate(deltas)
            ]
        return SelfTest(engine, max(self.tolerances.values()), tuple(results))


def unpacked(value: Any, wanted: tuple[NamedTensor, ...]) -> dict[str, np.ndarray]:
    if set(value) != {tensor.name for tensor in wanted}:
        raise ValueError(f"tensors {', '.join(map(str, value))[:80]}")
    found = {tensor.name: unpack(value[tensor.name]) for tensor in wanted}
    for tensor in wanted:
        array = found[tensor.name]
        if array.shape[1:] != tensor.shape or array.dtype != np.float32 or not np.isfinite(array).all():
            raise ValueError(f"{array.shape} {array.dtype} for {tensor.name!r} of {tensor.shape}, or not finite")
    return found
