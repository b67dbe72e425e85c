"""What reports, manifests and results files already say about artifacts: accuracies, and latencies on one machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.benchmark import results
from fmnist_edge.benchmark.budgets import P50, p50_of
from fmnist_edge.benchmark.cells import accuracies_of
from fmnist_edge.benchmark.comparison import machine_differences
from fmnist_edge.benchmark.results import Cell, Result
from fmnist_edge.benchmark.validity import VALID, run_reasons
from fmnist_edge.errors import ArtifactError, FileError, InputError
from fmnist_edge.parity.verdict import ParityVerdict
from fmnist_edge.report.values import clean_text
from fmnist_edge.runtime.engine_catalog import CPU

__all__ = ["Accuracy", "Key", "Latency", "Run", "accuracies", "latencies", "latency_of", "runs_in", "runs_of_machine"]

Key = tuple[str, str, int]  # SHA-256 of an artifact, engine, threads


@dataclass(frozen=True)
class Accuracy:
    """An artifact's accuracy and its Keras model's on the same images, as shares; where it is from; its parity check.

    Attributes:
        passed: whether it passed the parity check that gave the accuracy.
    """

    accuracy: float
    reference: float | None
    images: int
    source: str
    passed: bool


@dataclass(frozen=True)
class Latency:
    """An artifact's p50 on one engine.

    Attributes:
        valid: whether the protocol found nothing against it.
        measured: UTC time at which its run began.
    """

    engine: str
    threads: int
    batch: int
    p50: P50
    valid: bool
    measured: str


@dataclass(frozen=True)
class Run:
    """A results file of `bench` that could be read."""

    path: Path
    result: Result

    @property
    def machine(self) -> JsonObject:
        return self.result["machine"]

    @property
    def device(self) -> str:
        return clean_text(self.machine.get("device") or "unknown")


def accuracies(artifacts: Sequence[Artifact], reports: Sequence[Path]) -> dict[str, Accuracy]:
    """SHA-256 -> accuracy, from reports of `check` and from the verdicts in manifests. Of several, the one on most
    images; of equal ones the first report's.

    Raises FileError for a report that is damaged, and ArtifactError for a damaged verdict.
    """
    found: dict[str, Accuracy] = {}
    for report in reports:
        for sha256, entry in accuracies_of(report).items():
            offer(found, sha256, accuracy_from(entry, report))
    for artifact in artifacts:
        verdict = verdict_of(artifact)
        if verdict is not None and verdict.accuracy is not None:
            known = (verdict.accuracy, verdict.reference_accuracy, verdict.images, clean_text(verdict.source))
            offer(found, artifact.manifest.sha256, Accuracy(*known, verdict.passed))
    return found


def offer(found: dict[str, Accuracy], sha256: str, new: Accuracy | None) -> None:
    """Keep `new` if it is on more images than what was found."""
    if new is not None and (sha256 not in found or found[sha256].images < new.images):
        found[sha256] = new


def accuracy_from(entry: JsonObject, report: Path) -> Accuracy | None:
    """An entry of `cells.accuracies_of`; None where the images had no labels."""
    accuracy, reference = entry["accuracy"], entry["reference_accuracy"]
    if accuracy is None:
        return None
    numbers = [accuracy, entry["images"], *([reference] if reference is not None else [])]
    if any(isinstance(item, bool) or not isinstance(item, int | float) for item in numbers) or not 0 <= accuracy <= 1:
        raise FileError(f"{report}: not a report of `fmnist-edge check`; run it again")
    return Accuracy(accuracy, reference, entry["images"], clean_text(entry["source"]), entry["passed"] is True)


def verdict_of(artifact: Artifact) -> ParityVerdict | None:
    """The verdict in the manifest, if it is of this very file. Raises ArtifactError if it is damaged."""
    if artifact.manifest.parity is None:
        return None
    try:
        verdict = ParityVerdict.from_dict(artifact.manifest.parity)
    except ArtifactError as error:
        raise ArtifactError(f"{artifact.path}: {error}") from None
    return verdict if verdict.sha256 == artifact.manifest.sha256 else None


def runs_in(paths: Sequence[Path]) -> list[Run]:
    """The results files among `paths` and in their folders, the newest first. A folder may have none.

    Raises FileError for a file that cannot be read.
    """
    files = [file for path in paths for file in (sorted(path.rglob("*.json.gz")) if path.is_dir() else [path])]
    runs = [Run(file, results.load(file)) for file in files]
    return sorted(runs, key=lambda run: str(run.result["created"]), reverse=True)


def runs_of_machine(runs: Sequence[Run], machine: JsonObject | None) -> list[Run]:
    """The runs on `machine`; where that is None, all, which must be of one machine.

    Raises InputError when they are of several.
    """
    if machine is not None:
        return [run for run in runs if not machine_differences(machine, run.machine)]
    for run in runs[1:]:
        if unlike := machine_differences(runs[0].machine, run.machine):
            raise InputError(f"{run.path}: of another machine than {runs[0].path} ({unlike[0]}); name one machine's")
    return list(runs)


def latencies(runs: Sequence[Run], sha256s: set[str], packages: JsonObject | None = None) -> dict[Key, Latency]:
    """The newest VALID latency of each cell on a CPU, else the newest; the runs are sorted by age, the newest first.

    packages: package -> the installed version; a cell of another version of its engine is left out. None: any.

    Raises FileError when a file is damaged.
    """
    found: dict[Key, Latency] = {}
    for run in runs:
        try:
            for cell in run.result["cells"]:
                key = (str(cell["sha256"]), str(cell["engine"]), cell["threads"])
                wanted = cell["sha256"] in sha256s and cell["target"] == CPU and not is_outdated(cell, packages or {})
                latency = latency_of(run.result, cell) if wanted else None
                if latency is not None and (key not in found or is_better(latency, found[key])):
                    found[key] = latency
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            reason = f"damaged ({type(error).__name__}: {error})"
            raise FileError(f"{run.path}: {reason}; run `fmnist-edge bench` again") from None
    return found


def is_outdated(cell: Cell, packages: JsonObject) -> bool:
    """Whether another version of the cell's engine is installed now."""
    package, version, *_ = [*str(cell["engine_version"]).replace(",", " ").split(), "", ""]
    return packages.get(package) not in (None, version)


def is_better(other: Latency, known: Latency) -> bool:
    """Whether `other`, of an older run or of the same, says more: it is VALID and `known` is not, or it is of the same
    run with fewer images a call."""
    return other.valid > known.valid or (other.measured == known.measured and other.batch < known.batch)


def latency_of(result: Result, cell: Cell) -> Latency | None:
    """None for a cell that was not measured, or too few rounds of which were finished."""
    p50 = p50_of(cell)
    if p50 is None or (p50.lower is None and len(cell["rounds"]) < result["plan"]["rounds"]):
        return None
    own = cell["verdict"]
    valid = own is not None and own["status"] == VALID and not run_reasons(result)
    return Latency(
        clean_text(cell["engine"]), cell["threads"], cell["batch"], p50, valid, clean_text(result["created"])
    )
