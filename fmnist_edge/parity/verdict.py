"""The parity verdict: the result of a parity check that is stored in the artifact's manifest."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import ArtifactError
from fmnist_edge.parity.report import ParityReport
from fmnist_edge.parity.tensors import TensorReport

__all__ = ["ParityVerdict"]


@dataclass(frozen=True)
class ParityVerdict:
    """The result of a parity check. It has no date, so the same check writes the same bytes.

    Attributes:
        sha256: of the file that was checked.
        engine: name and version of the engine that ran it.
        images, source: number of images, and what they are.
        accuracy, reference_accuracy: fractions; None without labels.
        agreement: share of images with the same top class as the Keras model; of a tensor model, see TensorReport.
        max_abs_delta: largest difference of a score.
        verdict: "non-inferior", "inferior" or "inconclusive", see PairedAccuracy; None without labels or a margin.
        passed: whether no part of its precision's gate is shown to be missed.
        failures: one line for each part of the gate that it missed.
        undecided: one line for each part that it missed on too few images to show it; older verdicts have none.
    """

    sha256: str
    engine: str
    images: int
    source: str
    accuracy: float | None
    reference_accuracy: float | None
    agreement: float
    max_abs_delta: float
    verdict: str | None
    passed: bool
    failures: tuple[str, ...]
    undecided: tuple[str, ...] = ()

    @classmethod
    def of(cls, report: ParityReport | TensorReport, *, sha256: str, engine: str, source: str) -> ParityVerdict:
        paired = report.statistics.accuracy
        return cls(
            sha256=sha256,
            engine=engine,
            images=report.images,
            source=source,
            accuracy=report.accuracy,
            reference_accuracy=report.reference_accuracy,
            agreement=report.agreement,
            max_abs_delta=report.max_abs_delta,
            verdict=paired.verdict if paired else None,
            passed=report.passed,
            failures=tuple(report.failures),
            undecided=tuple(report.undecided),
        )

    def as_dict(self) -> JsonObject:
        return {**asdict(self), "failures": list(self.failures), "undecided": list(self.undecided)}

    @classmethod
    def from_dict(cls, value: Any) -> ParityVerdict:
        """Raises ArtifactError when `value` is not what `as_dict` writes."""
        if isinstance(value, dict):
            value = {"undecided": [], **value}
        wrong = [item.name for item in fields(cls) if not has_field(value, item.name, str(item.type))]
        if wrong:
            raise ArtifactError(f"parity: {', '.join(wrong)} damaged in the manifest; run `fmnist-edge check --record`")
        known = {item.name: value[item.name] for item in fields(cls)}
        return cls(**{**known, "failures": tuple(known["failures"]), "undecided": tuple(known["undecided"])})

    @property
    def line(self) -> str:
        """A summary in one line.

        >>> ParityVerdict("0" * 64, "e 1", 10_000, "a set", 0.9317, 0.9324, 0.996, 2.6, "non-inferior", True, ()).line
        'pass, 93.17 % accuracy (Keras 93.24 %), non-inferior, 99.60 % agreement on 10,000 images of a set, by e 1'
        """
        parts = ["pass"]
        if not self.passed:
            parts = [f"FAIL ({'; '.join(self.failures)})"]
        elif self.undecided:
            parts = [f"inconclusive ({'; '.join(self.undecided)})"]
        if self.accuracy is not None and self.reference_accuracy is not None:
            parts.append(f"{self.accuracy * 100:.2f} % accuracy (Keras {self.reference_accuracy * 100:.2f} %)")
        if self.verdict:
            parts.append(self.verdict)
        parts.append(f"{self.agreement * 100:.2f} % agreement on {self.images:,} images of {self.source}")
        return f"{', '.join(parts)}, by {self.engine}"


TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str | None": (str, type(None)),
    "float | None": (int, float, type(None)),
    "tuple[str, ...]": (list,),
}


def has_field(value: object, name: str, kind: str) -> bool:
    """Whether a JSON object has the field `name` with the type `kind`, written as in a dataclass annotation."""
    found = value.get(name, ...) if isinstance(value, dict) else ...
    if type(found) not in TYPES[kind] or (type(found) is list and any(type(item) is not str for item in found)):
        return False
    return not isinstance(found, float) or math.isfinite(found)
