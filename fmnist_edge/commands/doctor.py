"""`fmnist-edge doctor`: does an artifact answer on this device, in this engine, as it did at export?"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fmnist_edge.console import table
from fmnist_edge.errors import GateError

if TYPE_CHECKING:
    from fmnist_edge.artifacts import Artifact
    from fmnist_edge.runtime.golden import SelfTest, VectorResult

__all__ = ["run"]

HEADER = ["vector", "expected", "found", "max Δ", "tolerance", "verdict"]


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.artifacts import collect
    from fmnist_edge.files import check_writable, write_json
    from fmnist_edge.runtime import Classifier

    check_writable(options.report.parent)
    tested = []
    for artifact in collect(options.artifacts):
        with Classifier.load(artifact.path, threads=options.threads, engine=options.engine) as classifier:
            tested.append((artifact, classifier.self_test()))
    write_json(options.report, {"schema": 1, "artifacts": [entry(*pair) for pair in tested]})
    for artifact, result in tested:
        show(artifact, result)
    print(f"wrote {options.report}")
    failed = [(artifact, result) for artifact, result in tested if not result.passed]
    for artifact, result in failed:
        print(f"FAILED {artifact.path} in {result.engine}: {result.advice}", file=sys.stderr)
    if failed:
        raise GateError(f"{len(failed)} of {len(tested)} artifacts do not answer as at export")


def show(artifact: Artifact, result: SelfTest) -> None:
    made_by = ", ".join(f"{name} {version}" for name, version in artifact.manifest.get("versions", {}).items())
    print(f"{artifact.path}: SHA-256 is its manifest's; made by {made_by or 'unknown versions'}")
    print(f"in {result.engine}: {result.advice}\n")
    labels = artifact.contract.labels
    print(table(HEADER, [row(vector, result.tolerance, labels) for vector in result.vectors]), end="\n\n")


def row(vector: VectorResult, tolerance: float, labels: tuple[str, ...]) -> list[str]:
    verdict = "pass" if vector.passed else "FAIL"
    found = f"{vector.max_abs_delta:.2g}", f"{tolerance:.2g}", verdict
    return [str(vector.number), labels[vector.expected], labels[vector.found], *found]


def entry(artifact: Artifact, result: SelfTest) -> dict[str, Any]:
    return {
        "artifact": str(artifact.path),
        "sha256": artifact.manifest["sha256"],
        "versions": artifact.manifest.get("versions"),
        "passed": result.passed,
        "advice": result.advice,
        **asdict(result),
    }
