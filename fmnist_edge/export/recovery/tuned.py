"""Export with the accuracy won back: climb the ladder with real exports, judged by images of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from fmnist_edge.artifact import Artifact
from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.export.calibration_images import Calibration
from fmnist_edge.export.pipeline import export
from fmnist_edge.export.recovery.judge import Judge
from fmnist_edge.export.recovery.ladder import Candidate, Material, Step, climb
from fmnist_edge.export.recovery.simulate import one_to_one
from fmnist_edge.files import check_writable
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["export_tuned"]

EXPLAINED = 64  # images that the weakest layers are found with


def export_tuned(
    checkpoint: Checkpoint,
    precision: Precision,
    contract: Contract,
    out: Path,
    *,
    batch: int | None,
    calibration: Calibration,
    judge: Judge,
    weakest_layers: Callable[[Artifact, Checkpoint, np.ndarray], list[str]],
    allowed: float,
    budget_s: float,
    report: Callable[[int, Step], None] = lambda count, step: None,
) -> tuple[Artifact, list[Step]]:
    """Like `export`, with what it takes to lose at most `allowed`, a fraction, of accuracy; else with what loses least.

    `weakest_layers(artifact, checkpoint, images)` names the layers that rounding hurts, worst first.
    `report(how many, the last one)` is told of the steps as they are done. Returns the artifact, its manifest with the
    ladder under "recovery", and the steps that were tried. Raises what `export` raises.
    """
    check_writable(out)
    shape = contract.input_shape
    answers = one_to_one(checkpoint.model).predict(contract.preprocessing.apply(judge.images, shape), verbose=0)
    labels = answers.argmax(1) if judge.labels is None else judge.labels
    exact = float((answers.argmax(1) == labels).mean())
    made: dict[Candidate, Artifact] = {}

    with temporary_folder() as folder:

        def exported(candidate: Candidate) -> Artifact:
            if candidate not in made:
                made[candidate] = export(
                    replace(checkpoint, model=candidate.model),
                    precision,
                    contract,
                    folder / str(len(made)),
                    batch=batch,
                    calibration=calibration,
                    keep_float=candidate.keep_float,
                )
            return made[candidate]

        def loss_of(candidate: Candidate) -> float:
            with Classifier.load(exported(candidate).path) as classifier:
                return exact - float((classifier.scores(judge.images).argmax(1) == labels).mean())

        @cache
        def weakest(candidate: Candidate) -> list[str]:
            images = calibration.images[:EXPLAINED]
            of = replace(checkpoint, model=candidate.model)
            return weakest_layers(exported(candidate), of, images)

        material = Material(
            contract.preprocessing.apply(calibration.images, shape),
            contract.preprocessing.apply(judge.fine_tuning_images, shape),
            contract.output == "logits",
            weakest,
        )
        start = Candidate(checkpoint.model)
        tried = []
        for step, candidate in climb(
            start, material, loss_of, allowed=allowed, budget_s=budget_s, selective=precision.selective
        ):
            tried.append((step, candidate))
            report(len(tried), step)
        best, candidate = min(tried, key=lambda item: item[0].accuracy_drop)
        chosen = exported(candidate)
        recovery = {
            "rung": best.rung,
            "passed": best.passed,
            "allowed_drop": allowed,
            "weights_changed": candidate.model is not checkpoint.model,
            "images": len(judge.images),
            "source": judge.source,
            "ladder": [step.as_dict() for step, _ in tried],
        }
        content = chosen.path.read_bytes()
    steps = [step for step, _ in tried]
    manifest = chosen.manifest.with_sections({"recovery": recovery})
    return Artifact.write(out / precision.filename, content, manifest), steps
