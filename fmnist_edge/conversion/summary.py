"""What an export wrote and what it refused, as a table or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from fmnist_edge.artifact import Artifact
from fmnist_edge.console import table
from fmnist_edge.conversion.job import Outcome, Tuning
from fmnist_edge.errors import FmnistEdgeError
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.runtime.same_file import other_names

__all__ = ["as_json", "listed", "recovered", "refusal", "remedies", "show_findings", "warnings_of"]

HEADER = ["artifact", "kB", "ops", "float ops", "runs in", "sha256"]


def as_json(outcomes: Sequence[Outcome]) -> str:
    files = [as_dict(outcome) for outcome in outcomes if outcome.same_as is None]
    return json.dumps({"schema": 1, "files": files}, indent=1, ensure_ascii=False)


def recovered(artifact: Artifact) -> bool:
    recovery = artifact.manifest.recovery
    return recovery is None or bool(recovery.passed)


def refusal(refused: Sequence[Outcome]) -> FmnistEdgeError:
    """The error of a command whose precisions were refused: the first one's class, with all reasons."""
    errors = [outcome.error for outcome in refused if outcome.error is not None]
    first = errors[0]
    if len(errors) == 1:
        return first
    reasons = dict.fromkeys(str(error) for error in errors)
    return type(first)(f"{len(refused)} files were refused: {'; '.join(reasons)}")


def listed(outcomes: Sequence[Outcome]) -> str:
    """A table of what was written and, if anything was refused, why; then a line for each file with two names."""
    header = HEADER if all(outcome.error is None for outcome in outcomes) else [*HEADER, "refused because"]
    rows = [row(outcome)[: len(header)] for outcome in outcomes if outcome.same_as is None]
    text = table(header, rows, left=["sha256"])
    same = [
        f"{outcome.same_as} is {outcome.path.stem}, too: both precisions have the same bytes"
        for outcome in outcomes
        if outcome.same_as is not None
    ]
    return "\n".join([text, *([""] if same else []), *same])


def row(outcome: Outcome) -> list[str]:
    if outcome.artifact is None:
        return [str(outcome.path), *["–"] * (len(HEADER) - 1), str(outcome.error)]
    manifest, islands = outcome.artifact.manifest, outcome.artifact.manifest.float_ops
    return [
        str(outcome.path),
        f"{(manifest.size_bytes or 0) / 1000:,.0f}",
        f"{sum(manifest.op_census.values())}",
        "all" if islands == "all" else str(len(islands)),
        oldest_runtime(manifest),
        manifest.sha256[:12],
        "",
    ]


def oldest_runtime(manifest: Manifest) -> str:
    """The first runtime of the manifest that has a release for the file, with that release."""
    return next((f"{name} {release}" for name, release in manifest.runs_in.items() if release), "–")


def as_dict(outcome: Outcome) -> dict[str, object]:
    """What --json prints of one file. `refused` is None for a file that was written; a refused one has fewer fields."""
    findings = outcome.findings
    found: dict[str, object] = {
        "path": str(outcome.path),
        "refused": None if outcome.error is None else str(outcome.error),
        "preprocessing_from": None if findings is None else {"source": findings.source, "reason": findings.reason},
        "warnings": warnings_of(outcome),
        "notes": [] if findings is None else list(findings.notes),
    }
    if outcome.artifact is None:
        return found
    manifest = outcome.artifact.manifest
    return {
        **found,
        "sha256": manifest.sha256,
        "also": list(other_names(manifest)),
        "size_bytes": manifest.size_bytes,
        "ops": dict(manifest.op_census),
        "float_ops": manifest.float_ops,
        "io": [tensor.dtype for tensor in (*manifest.inputs, *manifest.outputs)],
        "runs_in": dict(manifest.runs_in),
        "contract": manifest.contract.as_dict(),
        "remedies": None if outcome.tuning is None else [list(step) for step in outcome.tuning.steps],
        "recovered": None if manifest.recovery is None else manifest.recovery.passed,
    }


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
    for outcome in outcomes:
        for warning in warnings_of(outcome):
            if warning not in findings.warnings:
                print(f"fmnist-edge: warning: {outcome.path}: {warning}", file=sys.stderr)


def warnings_of(outcome: Outcome) -> list[str]:
    """Those about the model's input, and for a file that was written those about the file."""
    if outcome.artifact is not None:
        return list(outcome.artifact.manifest.warnings)
    return [] if outcome.findings is None else list(outcome.findings.warnings)


def remedies(path: Path, tuning: Tuning) -> str:
    """A table of the remedies that --tune-accuracy tried for one file."""
    cells = [
        [remedy, "", "no time", f"{seconds:.0f}"]
        if drop is None
        else [remedy, f"{drop:.2f}", "yes" if enough else "no", f"{seconds:.0f}"]
        for remedy, drop, enough, seconds in tuning.steps
    ]
    judged = f"{path}: accuracy lost on {tuning.images:,} images ({tuning.source})"
    return f"{judged}\n\n{table(['remedy', 'drop pp', 'enough', 's'], cells)}\n"
