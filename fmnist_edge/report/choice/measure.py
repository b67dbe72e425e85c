"""Measure what no report says yet: accuracies by `check`, and latencies by `bench`, with the functions of both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.benchmark import suite
from fmnist_edge.benchmark.cells import accuracies_of
from fmnist_edge.benchmark.job import Job
from fmnist_edge.benchmark.results import Result
from fmnist_edge.errors import ArtifactError, FileError, UnavailableError, one_line
from fmnist_edge.files import locked, write_json
from fmnist_edge.parity.check import CheckedArtifact
from fmnist_edge.parity.evaluation import Evaluation
from fmnist_edge.report.choice.evidence import Accuracy
from fmnist_edge.runtime import Classifier

__all__ = ["accuracy_of", "as_entries", "keep_parity", "measured_latencies", "unloadable"]


def unloadable(artifact: Artifact) -> str | None:
    """Why the file does not load and run here, in one line; None if it does."""
    try:
        Classifier.load(artifact.path, try_first=True).close()
    except (ArtifactError, UnavailableError) as error:
        return one_line(error).removeprefix(f"{artifact.path}: ")
    return None


def accuracy_of(row: CheckedArtifact, source: str) -> Accuracy | None:
    """The accuracy of a checked artifact; None on images without labels."""
    report = row.report
    if report.accuracy is None:
        return None
    return Accuracy(report.accuracy, report.reference_accuracy, report.images, source, row.passed)


def keep_parity(path: Path, rows: Sequence[CheckedArtifact], evaluation: Evaluation) -> None:
    """Write the rows as a report of `check`, beside those that an earlier call wrote about the same images.

    Where that cannot be written, they are measured again the next time.
    """
    images, source = len(evaluation.images), evaluation.source
    new = {row.artifact.manifest.sha256: row.as_dict() for row in rows}
    with suppress(FileError), locked(path.parent, wait=True):
        old = kept_rows(path, images, source)
        kept = list({**old, **new}.values())
        write_json(path, {"schema": 1, "images": images, "source": source, "on": None, "rows": kept})


def kept_rows(path: Path, images: int, source: str) -> dict[str, JsonObject]:
    """SHA-256 -> row of a report about the same images; empty where there is none, or a damaged one."""
    try:
        accuracies_of(path)
        document = json.loads(path.read_bytes())
    except (FileError, OSError, ValueError):
        return {}
    if (document.get("images"), document.get("source")) != (images, source):
        return {}
    return {row["sha256"]: row for row in document["rows"]}


def measured_latencies(job: Job, out: Path, progress: suite.Progress) -> Result:
    """Measure on this machine; the results file is below `out`. Raises KeyboardInterrupt after Ctrl-C, and FileError
    when `out` cannot be written."""
    with locked(out):
        result = suite.run(job.begin(out), progress)
    if result["interrupted"]:
        raise KeyboardInterrupt
    return result


def as_entries(accuracies: Mapping[str, Accuracy]) -> dict[str, JsonObject]:
    """The accuracies as a Job has them."""
    found = {}
    for sha256, accuracy in accuracies.items():
        entry = asdict(accuracy)
        entry["reference_accuracy"] = entry.pop("reference")
        found[sha256] = entry
    return found
