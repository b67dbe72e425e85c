"""Compare an artifact with its reference where outputs are numbers: the task `tensor`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.catalog.gates import TensorGate
from fmnist_edge.data.files import read_arrays, read_images
from fmnist_edge.errors import InputError
from fmnist_edge.parity.report import WORST_IMAGES
from fmnist_edge.parity.statistics import Statistics
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.tensor_runner import named_inputs

__all__ = ["OutputReport", "TensorReport", "compare_tensors", "read_inputs"]


@dataclass(frozen=True)
class OutputReport:
    """One output of an artifact, compared with the Keras model's over all examples.

    Attributes:
        relative_error: largest difference of a value, by the largest magnitude of the Keras model's.
        sqnr_db: signal to quantisation noise: 20 log10 of the Keras output's root mean square by the difference's; None
            where nothing differs.
        cosine: cosine of both outputs as vectors; None where one is all zeros.
        max_abs_delta: largest difference of a value.
    """

    name: str
    relative_error: float
    sqnr_db: float | None
    cosine: float | None
    max_abs_delta: float

    @classmethod
    def of(cls, name: str, expected: np.ndarray, found: np.ndarray) -> OutputReport:
        """Compare arrays (n, *shape) of finite numbers."""
        want, have = expected.astype(np.float64).ravel(), found.astype(np.float64).ravel()
        noise, largest = have - want, float(np.abs(want).max())
        worst, power, signal = float(np.abs(noise).max()), float(noise @ noise), float(want @ want)
        lengths = math.sqrt(signal) * float(np.linalg.norm(have))
        return cls(
            name,
            (worst / largest if largest else math.inf) if worst else 0.0,
            (10 * math.log10(signal / power) if signal else -math.inf) if power else None,
            float(want @ have) / lengths if lengths else None,
            worst,
        )

    def misses(self, gate: TensorGate) -> list[str]:
        """One line for each part of the gate that this output misses."""
        found = []
        if self.relative_error > gate.max_relative_error:
            found.append(
                f"a relative error of {self.relative_error:.2e}, at most {gate.max_relative_error:g} is allowed"
            )
        if self.sqnr_db is not None and self.sqnr_db < gate.min_sqnr_db:
            found.append(f"an SQNR of {self.sqnr_db:.1f} dB, at least {gate.min_sqnr_db:g} is expected")
        if self.cosine is not None and self.cosine < gate.min_cosine:
            found.append(f"a cosine of {self.cosine:.5f}, at least {gate.min_cosine:g} is expected")
        return [f"output {self.name!r} has {miss}" for miss in found]

    def as_dict(self) -> JsonObject:
        """For JSON, which has no infinity: null stands for it."""
        return {name: value if isinstance(value, str) else finite(value) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class TensorReport:
    """The comparison of one artifact with its reference; it has what a `ParityReport` has, without accuracies.

    Attributes:
        agreement: share of examples whose outputs all are within the gate's relative error.
        worst_images: indices of the examples whose outputs differ most, by the outputs' largest magnitudes.
    """

    images: int
    agreement: float
    outputs: tuple[OutputReport, ...]
    worst_images: tuple[int, ...]
    statistics: Statistics
    gate: TensorGate

    accuracy = reference_accuracy = accuracy_drop = task = None

    @property
    def max_abs_delta(self) -> float:
        return max(output.max_abs_delta for output in self.outputs)

    @property
    def failures(self) -> list[str]:
        return [miss for output in self.outputs for miss in output.misses(self.gate)]

    @property
    def undecided(self) -> list[str]:
        """Numbers are compared as they are: any number of examples decides."""
        return []

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def outcome(self) -> str:
        return "FAIL" if self.failures else "pass"

    def as_dict(self) -> JsonObject:
        return {
            "task": {"task": "tensor", "outputs": [output.as_dict() for output in self.outputs]},
            "images": self.images,
            "agreement": self.agreement,
            "max_abs_delta": self.max_abs_delta,
            "reference_accuracy": None,
            "accuracy": None,
            "worst_images": list(self.worst_images),
            "gate": asdict(self.gate),
            "failures": self.failures,
            "undecided": self.undecided,
            "outcome": self.outcome,
            "passed": self.passed,
        }


def finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def compare_tensors(
    reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], gate: TensorGate
) -> TensorReport:
    """Compare the outputs, name -> (n, *shape), of two forms of one model for the same n examples.

    Raises InputError when names or shapes differ, there are no examples, or a number is not finite.
    """
    shapes = [{name: array.shape for name, array in outputs.items()} for outputs in (reference, candidate)]
    if shapes[0] != shapes[1] or not shapes[0] or any(0 in shape for shape in shapes[0].values()):
        raise InputError(f"outputs are {shapes[0]} and {shapes[1]}; expected the same, of at least 1 example")
    if not all(np.isfinite(array).all() for outputs in (reference, candidate) for array in outputs.values()):
        raise InputError("outputs contain NaN or infinity; expected finite numbers; export the model again")
    worst = np.zeros(len(next(iter(reference.values()))))
    for name, expected in reference.items():
        delta = np.abs(candidate[name].astype(np.float64) - expected).reshape(len(expected), -1).max(axis=1)
        largest = float(np.abs(expected).max())
        worst = np.maximum(worst, delta / largest if largest else np.where(delta > 0, np.inf, 0))
    return TensorReport(
        images=len(worst),
        agreement=float((worst <= gate.max_relative_error).mean()),
        outputs=tuple(OutputReport.of(name, reference[name], candidate[name]) for name in reference),
        worst_images=tuple(map(int, np.argsort(-worst, kind="stable")[:WORST_IMAGES])),
        statistics=Statistics(None, 0.0, (), None),
        gate=gate,
    )


def read_inputs(path: str, contract: Contract, limit: int | None) -> dict[str, np.ndarray]:
    """The first `limit` examples of a file: name -> uint8 or float (n, *shape).

    An .npz file with an array for each input; for a model with one, also a .npy file. Raises FileError for one that
    cannot be read, InputError for arrays that do not fit.
    """
    if len(contract.inputs) == 1:
        arrays = {contract.inputs[0].name: read_images(path, contract.input_shape)}
    else:
        arrays = read_arrays(path)
    try:
        _, one = named_inputs(arrays, contract)
    except InputError as error:
        raise InputError(f"{Path(path).name}: {error}") from None
    return {name: (array[None] if one else array)[:limit] for name, array in arrays.items()}
