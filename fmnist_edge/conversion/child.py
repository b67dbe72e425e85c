"""The child process: load the model once and export it in one precision after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fmnist_edge.aliases import JsonObject
from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.conversion.job import Job
from fmnist_edge.errors import ExportError, InputError, UnavailableError, UnknownNameError, one_line

if TYPE_CHECKING:
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.checkpoints import Checkpoint
    from fmnist_edge.exporters.calibration_images import Calibration
    from fmnist_edge.exporters.contracts import Decision
    from fmnist_edge.exporters.findings import Findings
    from fmnist_edge.runtime.contract import Contract

__all__ = ["export_all", "inputs_of"]

REFUSALS = (ExportError, InputError, UnavailableError)  # of one precision; other errors end the whole job
MAX_MESSAGE = 4000  # characters
Progress = Callable[[JsonObject], None]


class Inputs(NamedTuple):
    """The model, its contract, why that was decided, and calibration images if a precision needs some."""

    checkpoint: Checkpoint
    decision: Decision
    contract: Contract
    calibration: Calibration | None


def export_all(request: JsonObject, progress: Progress) -> None:
    """Run a Job (`request`: its fields): make the precisions that are to do, one after another.

    `progress` gets one event after another, each a dict with one key:

    - "loaded": the model's name;
    - "findings": the fields of Findings;
    - "begun": index of a precision;
    - "remedy": [number of remedies tried, number of all, text];
    - "written": {"path": ..., "tuning": the fields of a Tuning, or None};
    - "same": path of the artifact written before that has the same bytes;
    - "refused": [class of the error, its message].

    Raises what loading the model and reading the images raise, UnknownNameError, InputError for a warning if the job is
    strict, and FileError when a file cannot be written.
    """
    from fmnist_edge.files import locked

    job = Job.from_json(request)
    inputs = inputs_of(job)
    progress({"loaded": inputs.checkpoint.name})
    findings = judged(job, inputs)
    progress({"findings": asdict(findings)})
    folder = Path(job.out) / inputs.checkpoint.name
    precisions = job.selected()
    made: list[tuple[Precision, Artifact]] = []
    with locked(folder) if job.locks else nullcontext():
        for index in job.indices():
            progress({"begun": index})
            try:
                applied = job.options.applied_to(precisions[index])
                artifact, tuning = export_one(job, inputs, applied, folder, findings, progress)
            except UnknownNameError:
                raise
            except REFUSALS as error:
                progress({"refused": [type(error).__name__, one_line(error, MAX_MESSAGE)]})
                continue
            twin = None if tuning else twin_of(applied, artifact, made)
            if twin is None:
                made.append((applied, artifact))
                progress({"written": {"path": str(artifact.path), "tuning": tuning}})
            else:
                other, before = made[twin]
                made[twin] = other, before.take_in(artifact)
                progress({"same": str(before.path)})


def twin_of(precision: Precision, artifact: Artifact, made: Sequence[tuple[Precision, Artifact]]) -> int | None:
    """Index of the artifact among those made before that has the same bytes, such as int8 for int8_only; or None.

    Both must compute in the same numbers. Stock precisions are baselines, and keep their own files.
    """
    if precision.stock:
        return None
    for index, (other, before) in enumerate(made):
        same_numbers = (other.weights, other.activations) == (precision.weights, precision.activations)
        if same_numbers and not other.stock and before.manifest.sha256 == artifact.manifest.sha256:
            return index
    return None


def inputs_of(job: Job) -> Inputs:
    from fmnist_edge import checkpoints
    from fmnist_edge.data.labelled import read_labelled
    from fmnist_edge.exporters.calibration_images import calibration_for, from_labelled
    from fmnist_edge.exporters.contracts import contract_for, preprocessing_for
    from fmnist_edge.exporters.tasks import task_of
    from fmnist_edge.runtime.tasks import CLASSIFICATION

    checkpoint = checkpoints.load(job.model, folder=Path(job.trained))
    decision = preprocessing_for(
        checkpoint,
        job.scale,
        job.mean,
        job.std,
        preset=job.preprocess,
        order=job.channel_order,
        input=job.task.input,
    )
    why = task_of(checkpoint, job.task.task).reason
    decision = replace(decision, reason=f"{decision.reason}; {why}" if why else decision.reason)
    labels = None if job.labels is None else Path(job.labels)
    own = None
    if job.calibration is not None and len(checkpoint.model.inputs) == 1:
        shape = tuple(checkpoint.model.inputs[0].shape)[1:]
        own = read_labelled(job.calibration, (shape, job.resize, job.fit, job.fill), skip_bad=job.skip_bad)
    names = None if own is None else own.names
    contract = contract_for(
        checkpoint,
        decision.preprocessing,
        labels,
        job.polarity,
        job.resize,
        job.fit,
        job.fill,
        names=names,
        options=job.task,
    )
    if job.tune_accuracy is not None and contract.task != CLASSIFICATION:
        raise InputError(
            f"--tune-accuracy judges by the accuracy of a classification, and the task is {contract.task}; leave it "
            "out and choose the layers with --keep-float"
        )
    calibration = None
    if own is not None:
        calibration = from_labelled(own, contract)
    elif any(precision.calibrated for precision in job.selected()):
        calibration = calibration_for(contract, job.calibration, job.data)
    return Inputs(checkpoint, decision, contract, calibration)


def judged(job: Job, inputs: Inputs) -> Findings:
    """Raises InputError for a warning if the job is strict."""
    from fmnist_edge.exporters.findings import check_strict, findings_for

    checkpoint = inputs.checkpoint
    calibrated = any(precision.calibrated for precision in job.selected())
    calibration = inputs.calibration if calibrated else None  # else they are golden images alone
    findings = findings_for(checkpoint, inputs.contract, calibration, inputs.decision)
    if job.strict:
        check_strict(checkpoint.name, findings.warnings)
    return findings


def export_one(
    job: Job, inputs: Inputs, precision: Precision, folder: Path, findings: Findings, progress: Progress
) -> tuple[Artifact, JsonObject | None]:
    """Export one precision; returns the artifact and the fields of its Tuning, None without --tune-accuracy."""
    from fmnist_edge.exporters.pipeline import export

    if job.tune_accuracy is not None and precision.calibrated and inputs.calibration is not None:
        return export_with_remedies(
            job, inputs, inputs.calibration, precision, folder, job.tune_accuracy / 100, findings, progress
        )
    artifact = export(
        inputs.checkpoint,
        precision,
        inputs.contract,
        folder,
        batch=job.batch,
        calibration=inputs.calibration,
        keep_float=tuple(job.keep_float),
        findings=findings,
    )
    return artifact, None


def export_with_remedies(
    job: Job,
    inputs: Inputs,
    calibration: Calibration,
    precision: Precision,
    folder: Path,
    allowed: float,
    findings: Findings,
    progress: Progress,
) -> tuple[Artifact, JsonObject]:
    """Export with --tune-accuracy; returns the artifact and the fields of a Tuning."""
    from fmnist_edge.explain.explanation import weakest_layers
    from fmnist_edge.exporters.recovery.ladder import LADDER, Attempt
    from fmnist_edge.exporters.recovery.tuned import export_tuned
    from fmnist_edge.exporters.recovery.validation import validation_images_for

    validation = validation_images_for(inputs.contract, calibration, job.data, own=job.calibration is not None)

    def report(count: int, attempt: Attempt) -> None:
        drop = attempt.accuracy_drop
        result = "not tried" if drop is None else f"{drop * 100:.2f} pp lost"
        progress({"remedy": [count, len(LADDER), f"{attempt.rung}: {result}"]})

    progress({"remedy": [0, len(LADDER), LADDER[0].name]})
    artifact, attempts = export_tuned(
        inputs.checkpoint,
        precision,
        inputs.contract,
        folder,
        batch=job.batch,
        calibration=calibration,
        validation=validation,
        weakest_layers=weakest_layers,
        allowed=allowed,
        budget_s=job.budget_min * 60,
        report=report,
        findings=findings,
    )
    steps = [
        [step.rung, None if step.accuracy_drop is None else step.accuracy_drop * 100, step.passed, step.seconds]
        for step in attempts
    ]
    return artifact, {"images": len(validation.images), "source": validation.source, "steps": steps}
