"""A finished `.tflite` file as C or as a web page, made in a child process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.catalog.precisions import by_default
from fmnist_edge.conversion.job import Outcome
from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.findings import Findings
from fmnist_edge.exporters.from_tflite import GoldenOptions, export_tflite
from fmnist_edge.exporters.tflite_contract import ContractOptions
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.worker.calls import call
from fmnist_edge.worker.endings import Status
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["TFLiteJob", "export_file"]

TASK = "fmnist_edge.conversion.from_tflite:export_here"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class TFLiteJob:
    """One `.tflite` file, and what is to be made of it. Every field is JSON, or a dataclass of such fields.

    Attributes:
        model: path of the file.
        out: the folder that gets a folder with the model's name.
        format: of the catalogue; one that `takes_tflite`.
        name: of the model; None for the manifest's, or the file's.
        strict: whether a warning refuses the file.
    """

    model: str
    out: str
    format: str
    name: str | None = None
    strict: bool = False
    contract: ContractOptions = field(default_factory=ContractOptions)
    golden: GoldenOptions = field(default_factory=GoldenOptions)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TFLiteJob:
        """From the fields (`dataclasses.asdict`), after a way through JSON."""
        parts = {
            "contract": ContractOptions.from_json(value["contract"]),
            "golden": GoldenOptions(**value["golden"]),
        }
        return cls(**{**value, **parts})


def export_file(job: TFLiteJob, progress: Progress = lambda done, total, text: None) -> list[Outcome]:
    """Make the folder of sources. `progress(done, total, text)`: see `parent.export_model`.

    Raises what `exporters.from_tflite.export_tflite` raises, and ExportError when the child crashes.
    """
    progress(0, 1, f"{job.format} of {Path(job.model).name}")
    with temporary_folder("export") as scratch:  # a child that is killed leaves files behind
        end = call(TASK, asdict(job), environment={"TMPDIR": str(scratch)})
    if end.status is Status.FAILED:
        raise RuntimeError(end.reason)
    value = end.result(ExportError, f"{job.model}: making {job.format} of it ")
    path = Path(value["path"])
    findings = Findings.from_json(value["findings"])
    return [Outcome(path, Artifact(path, Manifest.read(path)), findings=findings)]


def export_here(request: JsonObject, progress: Callable[[JsonObject], None]) -> JsonObject:
    """In the child: run a TFLiteJob (`request`: its fields). Returns the path, and the fields of Findings."""
    job = TFLiteJob.from_json(request)
    (precision,) = by_default(job.format)
    artifact, findings = export_tflite(
        Path(job.model), precision, Path(job.out), job.contract, job.golden, name=job.name, strict=job.strict
    )
    return {"path": str(artifact.path), "findings": asdict(findings)}
