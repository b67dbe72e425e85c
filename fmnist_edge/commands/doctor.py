"""`fmnist-edge doctor`: does an artifact answer on this device, in this engine, as it did at export?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.aliases import JsonObject
from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.commands.doctor_budget import budget_finding
from fmnist_edge.console import table
from fmnist_edge.errors import ArtifactError, FmnistEdgeError, GateError, UnavailableError
from fmnist_edge.runtime.engine_catalog import CPU, engines_on

if TYPE_CHECKING:
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.benchmark.budgets import Finding
    from fmnist_edge.parity.verdict import ParityVerdict
    from fmnist_edge.runtime.golden import SelfTest, VectorResult

    Tested = tuple[Artifact, SelfTest, "Finding | None"]
    Untested = tuple[Path, FmnistEdgeError]

__all__ = ["HELP", "add_arguments", "run"]

HEADER = ["vector", "expected", "found", "max Δ", "tolerance", "verdict"]

HELP = Help(
    group=Group.DEVICE,
    order=1,
    summary="test whether artifacts give the right answers on this device",
    description="""
        The manifest of an artifact holds some images and the scores that they had at export. This command classifies
        them again here. The scores must be the same, within the tolerance that engines which round differently need.
        Vectors that fail are listed; -v lists all.
        It also prints the verdict of `check`, where that was recorded. A file with a budget (see `choose`) is timed
        for a few seconds and held to it; where the interval of its p50 contains the limit, it is "not decided", which
        is no failure. Artifacts that cannot be tested here, such as one
        with a damaged manifest or without its engine, are named, and the others are tested.

        Needs an engine: ai-edge-litert for .tflite files, onnxruntime for .onnx files.
        """,
    examples=(
        ("A folder of artifacts", "doctor exported/tiny_resnet"),
        ("In another engine than the default one", "doctor exported/tiny_resnet/int8.tflite --engine numpy"),
    ),
    gate="an artifact gives other scores here, failed its parity check, or does not keep its budget",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.artifacts(parser.add_argument_group("What to test"))
    how = parser.add_argument_group("How")
    arguments.engine(how, engines_on(CPU))
    arguments.threads(how)
    output = parser.add_argument_group("Output")
    output.add_argument(
        "-v", dest="verbose", action="store_true", help="List all golden vectors, not only those that fail."
    )
    arguments.report(output, "reports/doctor.json")


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.artifact import collect_readable
    from fmnist_edge.commands.reports import Report

    report = Report.of(options)
    artifacts, damaged = collect_readable(options.artifacts)
    tested, untested = test_all(artifacts, options)
    untested = [*damaged, *untested]
    if not tested and len(untested) == 1:
        raise untested[0][1]
    left_out = [{"artifact": str(path), "reason": str(error)} for path, error in untested]
    report.write({"schema": 1, "artifacts": [entry(*item) for item in tested], "untested": left_out})
    with report.beside():
        for item in tested:
            show(*item, verbose=options.verbose)
        if len(tested) + len(untested) > 1:
            good = sum(not failures(*item) for item in tested)
            print(f"{good} of {len(tested) + len(untested)} artifacts can be used here\n")
        report.say_written()
    judge(tested, untested)


def test_all(artifacts: Sequence[Artifact], options: argparse.Namespace) -> tuple[list[Tested], list[Untested]]:
    """(artifacts with what golden vectors and budget gave; those that cannot be tested here, with the reason)."""
    from fmnist_edge.runtime import Classifier, Model
    from fmnist_edge.runtime.tasks import TENSOR

    tested: list[Tested] = []
    untested: list[Untested] = []
    for artifact in artifacts:
        try:
            recorded_parity(artifact)  # raises for a damaged one before anything runs
            kind = Model if artifact.contract.task == TENSOR else Classifier
            with kind.load(artifact.path, threads=options.threads, engine=options.engine, try_first=True) as loaded:
                result = loaded.self_test()
            tested.append((artifact, result, budget_finding(artifact, parity_of(artifact), options)))
        except (ArtifactError, UnavailableError) as error:
            untested.append((artifact.path, error))
    return tested, untested


def judge(tested: Sequence[Tested], untested: Sequence[Untested]) -> None:
    """Raises GateError when an artifact failed, else the kind of error for which one could not be tested."""
    failed = 0
    for artifact, result, finding in tested:
        lines = failures(artifact, result, finding)
        failed += bool(lines)
        for line in lines:
            print(f"FAILED {artifact.path}{line}", file=sys.stderr)
    for path, error in untested:
        print(f"NOT TESTED {path}: {str(error).removeprefix(f'{path}: ')}", file=sys.stderr)
    if failed:
        raise GateError(f"{failed} of {len(tested)} artifacts must not be used here")
    if untested:
        damaged = any(isinstance(error, ArtifactError) for _, error in untested)
        kind = ArtifactError if damaged else UnavailableError
        raise kind(f"{len(untested)} of {len(tested) + len(untested)} artifacts could not be tested here")


def show(artifact: Artifact, result: SelfTest, finding: Finding | None, *, verbose: bool) -> None:
    made_by = ", ".join(f"{name} {version}" for name, version in artifact.manifest.versions.items())
    print(f"{artifact.path}: SHA-256 matches the manifest; made by {made_by or 'unknown versions'}")
    print(f"parity: {parity_line(artifact)}")
    if finding is not None:
        print(f"budget: {finding.text}")
    good = sum(vector.passed for vector in result.vectors)
    print(f"in {result.engine}: {good} of {len(result.vectors)} golden vectors pass; {result.advice}\n")
    labels = artifact.contract.labels
    shown = [vector for vector in result.vectors if verbose or not vector.passed]
    if shown:
        print(table(HEADER, [row(vector, result.tolerance, labels) for vector in shown]), end="\n\n")


def recorded_parity(artifact: Artifact) -> ParityVerdict | None:
    """The verdict in the manifest, which may be of another file; None without. Raises ArtifactError if damaged."""
    from fmnist_edge.parity.verdict import ParityVerdict

    try:
        return None if artifact.manifest.parity is None else ParityVerdict.from_dict(artifact.manifest.parity)
    except ArtifactError as error:
        raise ArtifactError(f"{artifact.path}: {error}") from None


def parity_of(artifact: Artifact) -> ParityVerdict | None:
    """The recorded verdict, if it is of this very file."""
    verdict = recorded_parity(artifact)
    return verdict if verdict is not None and verdict.sha256 == artifact.manifest.sha256 else None


def parity_line(artifact: Artifact) -> str:
    verdict = parity_of(artifact)
    return verdict.line if verdict else "not recorded for this file; `fmnist-edge check --record` records it"


def failures(artifact: Artifact, result: SelfTest, finding: Finding | None = None) -> list[str]:
    """Reasons not to use the artifact here, each as the end of a line that starts with its path."""
    verdict = parity_of(artifact)
    lines = [f" in {result.engine}: {result.advice}"] * (not result.passed)
    if verdict is not None and not verdict.passed:
        lines.append(f": it failed its parity check ({'; '.join(verdict.failures)}); export the model again")
    if finding is not None and finding.is_over:
        lines.append(f": its budget is {finding.text}")
    return lines


def row(vector: VectorResult, tolerance: float, labels: tuple[str, ...]) -> list[str]:
    verdict = "pass" if vector.passed else "FAIL"
    allowed = tolerance if vector.tolerance is None else vector.tolerance
    found = f"{vector.max_abs_delta:.2g}", f"{allowed:.2g}", verdict
    classes = ["–" if index is None else labels[index] for index in (vector.expected, vector.found)]
    return [f"{vector.number} {vector.output}" if vector.output else str(vector.number), *classes, *found]


def entry(artifact: Artifact, result: SelfTest, finding: Finding | None) -> JsonObject:
    verdict = recorded_parity(artifact)
    return {
        "artifact": str(artifact.path),
        "sha256": artifact.manifest.sha256,
        "versions": artifact.manifest.versions,
        "parity": verdict.as_dict() if verdict else None,
        "budget": None if finding is None else asdict(finding),
        "passed": result.passed,
        "advice": result.advice,
        **asdict(result),
        "vectors": [vector_entry(vector) for vector in result.vectors],
    }


def vector_entry(vector: VectorResult) -> JsonObject:
    """Only vectors of tensor models have an output with a tolerance of its own."""
    found = asdict(vector)
    if vector.output is None:
        del found["output"], found["tolerance"]
    return found
