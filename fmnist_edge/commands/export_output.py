"""What `export` prints beside its tables: conclusions about the model's input, and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fmnist_edge.aliases import JsonObject

if TYPE_CHECKING:
    from fmnist_edge.conversion.job import Outcome

__all__ = ["json_of", "show_findings"]


def show_findings(model: str, outcomes: Sequence[Outcome], say_decision: bool) -> None:
    """Print how the contract was decided, if anything was written, and on stderr what is doubtful."""
    findings = next((outcome.findings for outcome in outcomes if outcome.findings is not None), None)
    if findings is None:
        return
    if say_decision and any(outcome.artifact for outcome in outcomes):
        for line in (findings.reason, *findings.notes):
            print(f"{model}: {line}")
        print()
    for warning in findings.warnings:
        print(f"fmnist-edge: warning: {model}: {warning}", file=sys.stderr)


def json_of(outcomes: Sequence[Outcome]) -> str:
    return json.dumps({"schema": 1, "files": [entry(outcome) for outcome in outcomes]}, indent=2)


def entry(outcome: Outcome) -> JsonObject:
    """An outcome for --json; `refused` is None for a file that was written."""
    manifest = None if outcome.artifact is None else outcome.artifact.manifest
    findings = outcome.findings
    return {
        "path": str(outcome.path),
        "refused": None if outcome.error is None else str(outcome.error),
        "size_bytes": None if manifest is None else manifest.size_bytes,
        "sha256": None if manifest is None else manifest.sha256,
        "contract": None if manifest is None else manifest.contract.as_dict(),
        "preprocessing_from": None if findings is None else {"source": findings.source, "reason": findings.reason},
        "warnings": [] if findings is None else list(findings.warnings),
        "notes": [] if findings is None else list(findings.notes),
        "recovered": None if manifest is None or manifest.recovery is None else manifest.recovery.passed,
    }
