"""What the Python API returns: dataclasses of plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import FmnistEdgeError
from fmnist_edge.jobs.check import failures_besides, is_inconclusive
from fmnist_edge.runtime.manifest import manifest_path
from fmnist_edge.runtime.same_file import other_names

if TYPE_CHECKING:
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.benchmark import results
    from fmnist_edge.conversion.job import Outcome
    from fmnist_edge.jobs.check import Checked
    from fmnist_edge.jobs.export import Request
    from fmnist_edge.parity.check import CheckedArtifact

__all__ = ["BenchResult", "CheckResult", "ExportResult", "ExportedFile", "Latency", "Refused", "Verdict"]


@dataclass(frozen=True)
class ExportedFile:
    """A file that was written.

    Attributes:
        path, manifest: of the file, or of the folder of C sources, and of the .json beside it.
        also: other precisions whose files have the same bytes.
        float_ops: ops of an integer file that compute in float; "all" for a float file.
        recovered: whether a remedy of `tune_accuracy` was enough; None without it.
    """

    path: Path
    manifest: Path
    format: str
    precision: str
    sha256: str
    size_bytes: int
    also: tuple[str, ...]
    float_ops: tuple[str, ...] | str
    recovered: bool | None

    @classmethod
    def of(cls, artifact: Artifact) -> ExportedFile:
        manifest = artifact.manifest
        return cls(
            path=artifact.path,
            manifest=manifest_path(artifact.path),
            format=artifact.format,
            precision=artifact.precision,
            sha256=manifest.sha256,
            size_bytes=artifact.size_bytes,
            also=tuple(other_names(manifest)),
            float_ops=manifest.float_ops if isinstance(manifest.float_ops, str) else tuple(manifest.float_ops),
            recovered=None if manifest.recovery is None else bool(manifest.recovery.passed),
        )


@dataclass(frozen=True)
class Refused:
    """A file that was not written, and the error that says why."""

    path: Path
    error: FmnistEdgeError


@dataclass(frozen=True)
class ExportResult:
    """What `export` wrote and refused.

    Attributes:
        reason: how the model's input and task were decided, in one line.
        warnings, notes: one line each: what is doubtful about the contract or the images; what was left out.
        project: the file that keeps the options for other commands; None for a model in memory or of the zoo.
    """

    files: tuple[ExportedFile, ...]
    refused: tuple[Refused, ...]
    reason: str
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    project: Path | None

    def __getitem__(self, name: str) -> ExportedFile:
        """The file called `name`, such as "int8.tflite", under any of its names. Raises KeyError."""
        for file in self.files:
            if name in (file.path.name, *(f"{other}.{file.format}" for other in file.also)):
                return file
        raise KeyError(name)

    @classmethod
    def of(cls, request: Request, outcomes: Sequence[Outcome]) -> ExportResult:
        """Raises the reasons as one error when nothing was written."""
        from fmnist_edge.conversion.summary import refusal, warnings_of

        refused = [outcome for outcome in outcomes if outcome.error is not None]
        if len(refused) == len(outcomes):
            raise refusal(refused)
        findings = next((outcome.findings for outcome in outcomes if outcome.findings is not None), None)
        return cls(
            tuple(ExportedFile.of(outcome.artifact) for outcome in outcomes if outcome.artifact is not None),
            tuple(Refused(outcome.path, outcome.error) for outcome in refused if outcome.error is not None),
            "" if findings is None else findings.reason,
            tuple(dict.fromkeys(warning for outcome in outcomes for warning in warnings_of(outcome))),
            () if findings is None else findings.notes,
            request.keep_facts(outcomes),
        )


@dataclass(frozen=True)
class Verdict:
    """The comparison of one artifact with its Keras model.

    Attributes:
        outcome: "pass", "inconclusive", "FAIL", or "UNPROVEN" where the Keras model is at chance itself.
        accuracy, reference_accuracy: fractions of the images, of the artifact and of the Keras model; None without
            labels.
        agreement: fraction of images with the same answer.
        max_abs_delta: largest difference of a score.
        verdict: on the loss of accuracy: "non-inferior", "inferior" or "inconclusive"; None without labels.
        failures, undecided: one line each.
        report: all figures, as in the JSON report of `fmnist-edge check`.
    """

    path: Path
    model: str
    precision: str
    sha256: str
    engine: str
    outcome: str
    accuracy: float | None
    reference_accuracy: float | None
    agreement: float
    max_abs_delta: float
    verdict: str | None
    failures: tuple[str, ...]
    undecided: tuple[str, ...]
    report: JsonObject

    @property
    def passed(self) -> bool:
        """Whether no gate is shown to be missed, and the comparison proves something."""
        return not self.failures

    @classmethod
    def of(cls, row: CheckedArtifact) -> Verdict:
        report, paired = row.report, row.report.statistics.accuracy
        failures = (*row.failures, *failures_besides(row))
        outcome = report.outcome
        if failures:
            outcome = "UNPROVEN" if row.unproven and failures == (row.unproven,) else "FAIL"
        return cls(
            path=row.artifact.path,
            model=row.artifact.model,
            precision=row.artifact.precision,
            sha256=row.artifact.manifest.sha256,
            engine=row.engine,
            outcome=outcome,
            accuracy=report.accuracy,
            reference_accuracy=report.reference_accuracy,
            agreement=report.agreement,
            max_abs_delta=report.max_abs_delta,
            verdict=None if paired is None else paired.verdict,
            failures=failures,
            undecided=(*report.undecided, *(["the verdict is inconclusive"] if is_inconclusive(row) else [])),
            report=row.as_dict(),
        )


@dataclass(frozen=True)
class CheckResult:
    """The verdicts, in the order of the artifacts.

    Attributes:
        images, source: how many images were used, and what they are called.
        notes, warnings: one line each about the images, and about contracts that look wrong.
    """

    verdicts: tuple[Verdict, ...]
    images: int
    source: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether no artifact failed; what is undecided is no failure."""
        return all(verdict.passed for verdict in self.verdicts)

    def __getitem__(self, name: str) -> Verdict:
        """The verdict on the file called `name`, such as "int8.tflite". Raises KeyError."""
        for verdict in self.verdicts:
            if verdict.path.name == name:
                return verdict
        raise KeyError(name)

    @classmethod
    def of(cls, groups: Sequence[Checked]) -> CheckResult:
        rows = [row for _, found in groups for row in found]
        doubts = [warning for row in rows if row.reference is not None for warning in row.reference.warnings]
        return cls(
            tuple(map(Verdict.of, rows)),
            sum(len(evaluation.images) for evaluation, _ in groups),
            "; ".join(dict.fromkeys(evaluation.source for evaluation, _ in groups)),
            tuple(note for evaluation, _ in groups for note in evaluation.notes),
            tuple(dict.fromkeys(doubts)),
        )


@dataclass(frozen=True)
class Latency:
    """One artifact on one engine with one number of threads and one batch size. Times are in µs, for a whole call.

    Attributes:
        artifact: its last folder and its name.
        status: "ok", "partial", "failed" or "unavailable"; `reason` says why it is not "ok".
        p50, p90, p99: percentiles of the engine's time; p99 is None for too few samples.
        end_to_end_p50: with preprocessing and reading the answer.
        load_p50: time to load the model.
        peak_rss_bytes: of the process; None where it is not known.
        accuracy: a fraction, from the parity report; None without one.
        valid: whether nothing disturbed the measurement.
    """

    artifact: str
    sha256: str | None
    engine: str
    threads: int
    batch: int
    status: str
    reason: str | None
    p50: float | None
    p90: float | None
    p99: float | None
    end_to_end_p50: float | None
    load_p50: float | None
    peak_rss_bytes: int | None
    accuracy: float | None
    valid: bool

    @classmethod
    def of(cls, cell: results.Cell) -> Latency:
        summary: Any = cell["summary"]
        engine = {} if summary is None else summary["engine"]
        verdict, memory, accuracy = cell["verdict"], cell["memory"], cell["accuracy"]
        return cls(
            artifact=cell["artifact"],
            sha256=cell["sha256"],
            engine=cell["engine"],
            threads=cell["threads"],
            batch=cell["batch"],
            status=cell["status"],
            reason=cell["reason"],
            p50=engine.get("p50"),
            p90=engine.get("p90"),
            p99=engine.get("p99"),
            end_to_end_p50=None if summary is None else summary["end_to_end"]["p50"],
            load_p50=None if summary is None else summary["load"]["p50"],
            peak_rss_bytes=None if memory is None else memory["peak_rss_bytes"],
            accuracy=None if accuracy is None else accuracy["accuracy"],
            valid=verdict is not None and verdict["status"] == "VALID",
        )


@dataclass(frozen=True)
class BenchResult:
    """A run of `bench`.

    Attributes:
        path: the results file, with every sample, which `compare` and `report` read.
        device: the machine's name in it.
        valid: whether nothing disturbed the run; `reasons` says what did.
        notes: one line each about the images.
    """

    path: Path
    device: str
    cells: tuple[Latency, ...]
    valid: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def measured(self) -> tuple[Latency, ...]:
        """The cells with a latency, the fastest call first."""
        found = [cell for cell in self.cells if cell.p50 is not None]
        return tuple(sorted(found, key=lambda cell: cell.p50 or 0.0))

    @classmethod
    def of(cls, result: results.Result, path: Path, notes: Sequence[str]) -> BenchResult:
        verdict: Any = result["verdict"]
        return cls(
            path,
            str(result["machine"]["device"]),
            tuple(map(Latency.of, result["cells"])),
            verdict["status"] == "VALID",
            tuple(f"{reason['rule']}: {reason['text']}" for reason in verdict["reasons"]),
            tuple(notes),
        )
