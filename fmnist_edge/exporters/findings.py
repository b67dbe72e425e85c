"""What an export concluded about its input: how the contract was decided, and what is doubtful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fmnist_edge.aliases import JsonObject
from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.errors import InputError
from fmnist_edge.exporters.calibration_images import Calibration
from fmnist_edge.exporters.calibration_warnings import calibration_warnings
from fmnist_edge.exporters.contracts import Decision
from fmnist_edge.runtime.contract import Contract

__all__ = ["Findings", "check_strict", "findings_for"]


@dataclass(frozen=True)
class Findings:
    """What an export concluded about its input, for its output and the manifest.

    Attributes:
        source: of the preprocessing: "model", "options" or "default"; None if a caller decided it.
        reason: one line about it; empty if a caller decided it.
        warnings: one line for each doubt about the contract or the calibration images.
        notes: one line each about what was left out.
    """

    source: str | None = None
    reason: str = ""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Findings:
        return cls(value["source"], value["reason"], tuple(value["warnings"]), tuple(value["notes"]))

    def as_sections(self) -> JsonObject:
        """Sections of the manifest."""
        decided = {"preprocessing_from": {"source": self.source, "reason": self.reason}} if self.source else {}
        return {**decided, "warnings": list(self.warnings)}


def findings_for(
    checkpoint: Checkpoint, contract: Contract, calibration: Calibration | None, decision: Decision | None = None
) -> Findings:
    """Judge the calibration images, if there are any, and how the contract was decided.

    Raises InputError when the contract's preprocessing refuses the images.
    """
    judged = calibration is not None and not calibration.others  # the warnings are about images
    warnings = calibration_warnings(calibration, contract, checkpoint.model) if judged and calibration else ()
    notes = () if calibration is None else calibration.notes
    if decision is None:
        return Findings(warnings=tuple(warnings), notes=notes)
    return Findings(decision.source, decision.reason, (*decision.warnings, *warnings), notes)


def check_strict(name: str, warnings: Sequence[str]) -> None:
    """Raises InputError when there is a warning: what `--strict` asks for."""
    if warnings:
        raise InputError(f"{name}: nothing was written, because of --strict: {'; '.join(warnings)}")
