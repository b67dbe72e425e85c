"""Export with the accuracy won back: climb the ladder with real exports, judged by images of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fmnist_edge.artifacts import Artifact
from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.explain.explanation import explain
from fmnist_edge.export.pipeline import Calibration, export
from fmnist_edge.export.precisions import Precision
from fmnist_edge.recovery.ladder import Candidate, Material, Step, climb
from fmnist_edge.recovery.simulate import one_to_one
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.contract import Contract

__all__ = ["Judge", "export_tuned"]

EXPLAINED = 64  # images that the weakest layers are found with


@dataclass(frozen=True)
class Judge:
    """What decides: neither calibration nor test images.

    Attributes:
        images: uint8 or float (n, *input_shape).
        labels: class indices (n,); None takes the Keras model's own answers for right.
        lessons: more images without labels, to fine-tune with.
        source: what the images are, for the manifest.
    """

    images: np.ndarray
    labels: np.ndarray | None
    lessons: np.ndarray
    source: str


def export_tuned(
    checkpoint: Checkpoint,
    precision: Precision,
    contract: Contract,
    out: Path,
    *,
    batch: int | None,
    calibration: Calibration,
    judge: Judge,
    allowed: float,
    budget_s: float,
    report: Callable[[Step], None] = lambda step: None,
) -> tuple[Artifact, list[Step]]:
    """Like `export`, with what it takes to lose at most `allowed`, a fraction, of accuracy; else with what loses least.

    Returns the artifact, its manifest with the ladder under "recovery", and the steps that were tried.
    """
    shape = contract.input_shape
    answers = one_to_one(checkpoint.model).predict(contract.preprocessing.apply(judge.images, shape), verbose=0)
    labels = answers.argmax(1) if judge.labels is None else judge.labels
    exact = float((answers.argmax(1) == labels).mean())
    made: dict[int, Artifact] = {}

    with tempfile.TemporaryDirectory() as folder:

        def exported(candidate: Candidate) -> Artifact:
            if id(candidate) not in made:
                made[id(candidate)] = export(
                    replace(checkpoint, model=candidate.model),
                    precision,
                    contract,
                    Path(folder) / str(len(made)),
                    batch=batch,
                    calibration=calibration,
                    keep_float=candidate.keep_float,
                )
            return made[id(candidate)]

        def loss_of(candidate: Candidate) -> float:
            with Classifier.load(exported(candidate).path) as classifier:
                return exact - float((classifier.scores(judge.images).argmax(1) == labels).mean())

        def weakest(candidate: Candidate) -> list[str]:
            images = calibration.images[:EXPLAINED]
            of = replace(checkpoint, model=candidate.model)
            found = explain(exported(candidate), of, images, progress=lambda *_: None)
            return list(dict.fromkeys(layer for remedy in found.remedies for layer in remedy.layers))

        material = Material(
            contract.preprocessing.apply(calibration.images, shape),
            contract.preprocessing.apply(judge.lessons, shape),
            contract.output == "logits",
            weakest,
        )
        start = Candidate(checkpoint.model)
        tried = []
        for step, candidate in climb(
            start, material, loss_of, allowed=allowed, budget_s=budget_s, selective=precision.selective
        ):
            report(step)
            tried.append((step, candidate))
        best, candidate = min(tried, key=lambda item: item[0].accuracy_drop)
        chosen = exported(candidate)
        recovery = {
            "rung": best.rung,
            "passed": best.passed,
            "allowed_drop": allowed,
            "images": len(judge.images),
            "source": judge.source,
            "ladder": [step.as_dict() for step, _ in tried],
        }
        content = chosen.path.read_bytes()
    steps = [step for step, _ in tried]
    return Artifact.write(out / precision.filename, content, {**chosen.manifest, "recovery": recovery}), steps
