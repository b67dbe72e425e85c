"""The parent process: run a Job in children and collect what became of each precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from fmnist_edge import errors
from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.conversion.job import Job, Outcome, Tuning
from fmnist_edge.conversion.suspects import crashing_layer
from fmnist_edge.errors import CheckpointError, ExportError, FmnistEdgeError
from fmnist_edge.export.findings import Findings
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.worker.calls import call
from fmnist_edge.worker.endings import Ending, Status
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["export_model"]

TASK = "fmnist_edge.conversion.child:export_all"
Progress = Callable[[int, int, str], None]


def export_model(job: Job, progress: Progress = lambda done, total, text: None) -> list[Outcome]:
    """Export one model in all precisions of a job; an Outcome for each, in their order.

    One child does all of it. After a crash, which refuses one precision, another child does the rest.

    Raises what loading the model raises, FileError when a file cannot be written, CheckpointError when loading crashes.
    """
    outcomes: list[Outcome] = []
    total = len(job.precisions)
    with temporary_folder("export") as scratch:  # a child that is killed leaves files behind
        environment = {"TMPDIR": str(scratch)}
        while len(outcomes) < total:
            rest = replace(job, precisions=job.precisions[len(outcomes) :])
            events = Events(rest, len(outcomes), total, progress)
            end = call(TASK, asdict(rest), environment=environment, on_progress=events.add)
            outcomes += events.outcomes
            if end.status is Status.DONE:
                break
            if end.error is not None:
                raise end.error
            if end.status is Status.FAILED:
                raise RuntimeError(end.reason)
            if events.path is None:
                raise CheckpointError(f"{job.model}: loading it {end.reason}; the file is damaged or hostile")
            layer = crashing_layer(rest, len(events.outcomes), environment, progress)
            outcomes.append(Outcome(events.path, error=crash_error(rest, len(events.outcomes), end, layer)))
    return outcomes


def crash_error(job: Job, index: int, end: Ending, layer: str | None) -> ExportError:
    """The refusal of a precision whose conversion ended the child."""
    precision = job.selected()[index]
    how = f"crashed ({end.signal})" if end.signal else f"ended its process ({end.reason})"
    memory = ", perhaps because memory ran out," if end.signal == "SIGKILL" else ""
    where = f"on layer {layer}" if layer else "on this model"
    return ExportError(
        f"the converter {how}{memory} {where} in {precision.format} {precision.name}; choose another precision or "
        "format, or replace the layer"
    )


class Events:
    """The events of one child, see `child.export_all`, as Outcomes.

    Attributes:
        outcomes: of the precisions that are done.
        path: of the artifact that is being made; None while the model is being loaded.
    """

    def __init__(self, job: Job, done: int, total: int, progress: Progress) -> None:
        self.outcomes: list[Outcome] = []
        self.path: Path | None = None
        self._findings: Findings | None = None
        self._precisions, self._out = job.selected(), Path(job.out)
        self._done, self._total, self._progress = done, total, progress

    def add(self, event: JsonObject) -> None:
        """Take the next event."""
        match event:
            case {"loaded": name}:
                self._out /= name
            case {"findings": findings}:
                self._findings = Findings.from_json(findings)
            case {"begun": index}:
                filename = self._precisions[index].filename
                self.path = self._out / filename
                self._progress(self._done + index, self._total, filename)
            case {"remedy": (count, most, text)}:
                self._progress(self._done + len(self.outcomes), self._total, f"remedy {count} of {most}: {text}")
            case {"written": {"path": path, "tuning": tuning}}:
                artifact = Artifact(Path(path), Manifest.read(path))
                remedies = Tuning(**tuning) if tuning else None
                self.outcomes.append(Outcome(artifact.path, artifact, tuning=remedies, findings=self._findings))
            case {"refused": (kind, message)}:
                error: type[FmnistEdgeError] = vars(errors)[kind]
                self.outcomes.append(Outcome(self.path or self._out, error=error(message), findings=self._findings))
