"""Export with accuracy recovery: try the ladder with real exports, and measure each on validation images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from operator import itemgetter
from pathlib import Path

import numpy as np

from fmnist_edge.artifact import Artifact
from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.exporters.calibration_images import Calibration
from fmnist_edge.exporters.findings import Findings, findings_for
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.exporters.recovery.ladder import Attempt, Candidate, RecoveryData, try_rungs
from fmnist_edge.exporters.recovery.simulate import single_input_model
from fmnist_edge.exporters.recovery.validation import ValidationImages
from fmnist_edge.files import check_writable
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["export_tuned"]

EXPLAINED_IMAGES = 64  # images used to find the weakest layers


def export_tuned(
    checkpoint: Checkpoint,
    precision: Precision,
    contract: Contract,
    out: Path,
    *,
    batch: int | None,
    calibration: Calibration,
    validation: ValidationImages,
    weakest_layers: Callable[[Artifact, Checkpoint, np.ndarray], list[str]],
    allowed: float,
    budget_s: float,
    report: Callable[[int, Attempt], None] = lambda count, attempt: None,
    findings: Findings | None = None,
) -> tuple[Artifact, list[Attempt]]:
    """Like `export`, with the first remedy that loses at most `allowed` accuracy, else the one that loses least.

    Args:
        weakest_layers: called with (artifact, checkpoint, images); returns the layers that rounding hurts, worst first.
        allowed: the accuracy that may be lost, as a fraction.
        budget_s: seconds after which no further rung is tried, and a rung that takes long gives up.
        report: called after each attempt with (number of attempts so far, the attempt).
        findings: as in `export`; None judges the images with the checkpoint's own model.

    Returns the artifact, whose manifest has the ladder under "recovery", and the attempts. Raises what `export` raises.
    """
    check_writable(out)
    shape = contract.input_shape
    answers = single_input_model(checkpoint.model).predict(
        contract.preprocessing.apply(validation.images, shape), verbose=0
    )
    labels = answers.argmax(1) if validation.labels is None else validation.labels
    exact = float((answers.argmax(1) == labels).mean())
    findings = findings or findings_for(checkpoint, contract, calibration)
    artifacts: dict[Candidate, Artifact] = {}

    with temporary_folder() as folder:

        def exported(candidate: Candidate) -> Artifact:
            if candidate not in artifacts:
                artifacts[candidate] = export(
                    replace(checkpoint, model=candidate.model),
                    precision,
                    contract,
                    folder / str(len(artifacts)),
                    batch=batch,
                    calibration=calibration,
                    keep_float=candidate.keep_float,
                    findings=findings,
                )
            return artifacts[candidate]

        def loss_of(candidate: Candidate) -> float:
            with Classifier.load(exported(candidate).path) as classifier:
                return exact - float((classifier.scores(validation.images).argmax(1) == labels).mean())

        @cache
        def weakest(candidate: Candidate) -> list[str]:
            images = calibration.images[:EXPLAINED_IMAGES]
            of = replace(checkpoint, model=candidate.model)
            return weakest_layers(exported(candidate), of, images)

        deadline = time.monotonic() + budget_s
        data = RecoveryData(
            contract.preprocessing.apply(calibration.images, shape),
            contract.preprocessing.apply(validation.fine_tuning_images, shape),
            contract.output == "logits",
            weakest,
            lambda: time.monotonic() > deadline,
        )
        start = Candidate(checkpoint.model)
        attempts, measured = [], []
        for attempt, candidate in try_rungs(start, data, loss_of, allowed=allowed, selective=precision.selective):
            attempts.append(attempt)
            report(len(attempts), attempt)
            if attempt.accuracy_drop is not None and candidate is not None:
                measured.append((attempt.accuracy_drop, attempt, candidate))
        _, best, candidate = min(measured, key=itemgetter(0))
        chosen = exported(candidate)
        recovery = {
            "rung": best.rung,
            "passed": best.passed,
            "allowed_drop": allowed,
            "weights_changed": candidate.model is not checkpoint.model,
            "images": len(validation.images),
            "source": validation.source,
            "ladder": [attempt.as_dict() for attempt in attempts],
        }
        content = chosen.path.read_bytes()
    manifest = chosen.manifest.with_sections({"recovery": recovery})
    return Artifact.write(out / precision.filename, content, manifest), attempts
