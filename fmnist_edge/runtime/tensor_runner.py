"""Runs a loaded engine on named arrays: numbers in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fmnist_edge.errors import ArtifactError, InputError, one_line
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine import Engine, TensorSpec
from fmnist_edge.runtime.runner import LARGEST_CHUNK
from fmnist_edge.runtime.tensors import NamedTensor

__all__ = ["TensorRunner", "named_inputs", "tensors_in"]


def tensors_in(contract: Contract) -> tuple[tuple[NamedTensor, ...], tuple[NamedTensor, ...]]:
    """(inputs, outputs) of a contract, in the model's order. Those of a model with labels are "input" and "scores"."""
    if contract.inputs:
        return contract.inputs, contract.outputs
    return (NamedTensor("input", contract.model_shape),), (NamedTensor("scores", (contract.score_count,)),)


class TensorRunner:
    """An engine with its contract. `engine` may be replaced by another one that loaded the same file."""

    def __init__(self, engine: Engine, contract: Contract) -> None:
        """Raises ArtifactError when the file's tensors do not match the contract."""
        self.engine = engine
        self.inputs, self.outputs = tensors_in(contract)
        self._input_order = matched(self.inputs, engine.inputs, "input")
        self._output_order = matched(self.outputs, engine.outputs, "output")

    def prepare(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """float32 (n, *shape) for each input of the contract -> the engine's inputs, of its own types."""
        ordered = [arrays[index] for index in self._input_order]
        return [spec.quantize(array) for spec, array in zip(self.engine.inputs, ordered)]

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """float32 (n, *shape) for each input of the contract -> float32 (n, *shape) for each output.

        Raises ArtifactError when the engine fails or returns NaN or infinity.
        """
        quantized = self.prepare(arrays)
        count, fixed = len(arrays[0]), self.engine.inputs[0].shape[0]
        size = fixed or min(count, LARGEST_CHUNK)
        parts = [self._chunk([array[start : start + size] for array in quantized], size if fixed else 0)
                 for start in range(0, count, size)]  # fmt: skip
        found: list[np.ndarray] = [np.empty(0)] * len(self.outputs)
        for place, spec, pieces in zip(self._output_order, self.engine.outputs, zip(*parts)):
            found[place] = spec.dequantize(np.concatenate(pieces) if len(pieces) > 1 else pieces[0])
        for tensor, array in zip(self.outputs, found):
            if not np.isfinite(array).all():
                raise ArtifactError(
                    f"the model returned NaN or infinity as {tensor.name!r}; its weights are damaged, or a value "
                    "exceeds the largest of its number type (float16: 65504)"
                )
        return found

    def _chunk(self, arrays: list[np.ndarray], fixed: int) -> list[np.ndarray]:
        """The engine's outputs for at most `fixed` examples, which are filled up with zeros; 0 for any number."""
        count = len(arrays[0])
        if fixed and count < fixed:
            arrays = [
                np.concatenate([array, np.zeros((fixed - count, *array.shape[1:]), array.dtype)]) for array in arrays
            ]
        try:
            outputs = self.engine.run_all(arrays)
        except Exception as error:  # engines raise their own exception classes
            raise ArtifactError(
                f"{self.engine.version} failed on a batch of {len(arrays[0])} ({one_line(error, 160)}); "
                "give it fewer at a time or export the model again"
            ) from error
        for output in outputs:
            if len(output) != len(arrays[0]):
                raise ArtifactError(
                    f"{self.engine.version} gave {len(output)} answers for {len(arrays[0])} examples; export it again"
                )
        return [output[:count] for output in outputs]


def matched(wanted: Sequence[NamedTensor], found: Sequence[TensorSpec], kind: str) -> list[int]:
    """The place in the contract of each of the engine's tensors: by name, or by order where the file has other names.

    Raises ArtifactError when number, shapes or types do not fit.
    """
    if len(wanted) != len(found):
        raise ArtifactError(f"the model has {len(found)} {kind}s, and its contract says {len(wanted)}; export it again")
    names = [tensor.name for tensor in wanted]
    by_name = {spec.name for spec in found} == set(names)
    order = [names.index(spec.name) if by_name else place for place, spec in enumerate(found)]
    for spec, place in zip(found, order):
        have, want = spec.shape[1:], wanted[place].shape
        if len(have) != len(want) or any(size not in (None, other) for size, other in zip(have, want)):
            raise ArtifactError(
                f"the model's {kind} {wanted[place].name!r} is {have}, its contract says {want}; export it again"
            )
        if np.dtype(spec.dtype).kind not in "fiu":
            raise ArtifactError(f"the model's {spec.name!r} is {spec.dtype}; expected numbers")
        if spec.scale is not None and not (math.isfinite(spec.scale) and spec.scale > 0):
            raise ArtifactError(f"the scale of the model's {spec.name!r} is {spec.scale}; the file is damaged")
    return order


def named_inputs(given: object, contract: Contract) -> tuple[list[np.ndarray], bool]:
    """(float32 (n, *shape) for each input, in the contract's order; whether `given` had no batch axis).

    Args:
        given: an array, for a model with one input; or {name: array}. Floats are the model's own numbers. uint8 pixels
            are preprocessed as the contract says, where the input is an image.

    Raises InputError for a missing or unknown name, another shape or dtype, unequal numbers of examples, none at all,
    and for NaN or infinity.
    """
    wanted, _ = tensors_in(contract)
    names = [tensor.name for tensor in wanted]
    if not isinstance(given, Mapping):
        if len(wanted) > 1:
            raise InputError(
                f"the model has {len(wanted)} inputs; expected {{name: array}} with the names {', '.join(names)}"
            )
        given = {names[0]: given}
    if set(given) != set(names):
        raise InputError(f"inputs are {', '.join(map(str, given)) or 'none'}; expected {', '.join(names)}")
    arrays = [prepared(np.asarray(given[tensor.name]), tensor, contract) for tensor in wanted]
    ones = [array.ndim == len(tensor.shape) for array, tensor in zip(arrays, wanted)]
    if len(set(ones)) > 1:
        raise InputError("some inputs have a batch axis and others have none; expected all or none")
    if ones[0]:
        return [array[None] for array in arrays], True
    counts = {len(array) for array in arrays}
    if len(counts) > 1 or 0 in counts:
        sizes = ", ".join(f"{len(array)} of {name}" for name, array in zip(names, arrays))
        raise InputError(f"the batch has {sizes}; expected the same number of each, at least 1")
    return arrays, False


def prepared(array: np.ndarray, tensor: NamedTensor, contract: Contract) -> np.ndarray:
    """float32, (*shape) or (n, *shape)."""
    pixels = contract.dtype == "uint8" and array.dtype == np.uint8
    shape = contract.input_shape if pixels else tensor.shape
    if array.shape != shape and array.shape[1:] != shape:
        raise InputError(f"input {tensor.name!r} has the shape {array.shape}; expected {shape}, or a batch of those")
    if pixels:
        one = array.ndim == len(shape)
        values = contract.preprocessing.apply(array[None] if one else array, shape) if array.size else array
        if contract.layout != "NHWC":
            values = np.ascontiguousarray(np.moveaxis(values, -1, -3))
        return values[0] if one else values
    if array.dtype.kind != "f":
        also = ", or uint8 pixels" if contract.dtype == "uint8" else ""
        raise InputError(f"input {tensor.name!r} is {array.dtype}; expected a float type{also}; use .astype('float32')")
    with np.errstate(over="ignore"):
        values = array.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise InputError(f"input {tensor.name!r} holds NaN or infinity, as float32; expected finite numbers")
    return values
