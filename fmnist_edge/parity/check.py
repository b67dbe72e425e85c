"""Run artifacts and their Keras references on the same images, and compare their scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.catalog.models import MODELS
from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.checkpoints import load as load_checkpoint
from fmnist_edge.console import Track
from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.exporters.contracts import contradiction
from fmnist_edge.exporters.first_layer import first_layer_warning
from fmnist_edge.exporters.tflite_sources import EXPORTED_FROM
from fmnist_edge.parity import Gate, ParityReport, compare, gate_for
from fmnist_edge.parity.check_tensors import check_tensor_artifact, keras_outputs
from fmnist_edge.parity.elsewhere import Elsewhere, ElsewhereReport, compare_machines
from fmnist_edge.parity.evaluation import Evaluation
from fmnist_edge.parity.image_files import FilesReport, compare_files
from fmnist_edge.parity.label_order import label_order
from fmnist_edge.parity.labels import check_labels, compare_labels, health_of_labels
from fmnist_edge.parity.outside import outside_images
from fmnist_edge.parity.reference import ReferenceHealth, reference_health
from fmnist_edge.parity.reliability import Reliability, reliability
from fmnist_edge.parity.tensors import TensorReport
from fmnist_edge.parity.verdict import ParityVerdict
from fmnist_edge.runtime import Classifier, Model
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.tasks import CLASSIFICATION, TENSOR

__all__ = ["CheckedArtifact", "Reference", "check", "scores_of"]

CHUNK = 500


@dataclass(frozen=True)
class Reference:
    """A Keras model's scores on all images, as it is fed by a contract, and whether they can prove anything.

    Attributes:
        scores: float32 (n, classes).
        warnings: one line for each doubt about the contract or the images.
    """

    scores: np.ndarray
    health: ReferenceHealth
    warnings: tuple[str, ...]

    def as_dict(self) -> JsonObject:
        return {**self.health.as_dict(), "warnings": list(self.warnings)}


@dataclass(frozen=True)
class CheckedArtifact:
    """One row of the report."""

    artifact: Artifact
    engine: str
    report: ParityReport | TensorReport
    reference: Reference | None = None
    reliability: Reliability | None = None
    elsewhere: ElsewhereReport | None = None
    files: FilesReport | None = None

    @property
    def unproven(self) -> str | None:
        """Why parity with this reference proves nothing, in one line; None if it does."""
        return None if self.reference is None else self.reference.health.finding

    @property
    def failures(self) -> list[str]:
        """One line for each part of the gate that is missed, and for a reference that proves nothing."""
        return [*self.report.failures, *([self.unproven] if self.unproven else [])]

    @property
    def passed(self) -> bool:
        return not self.failures

    def record(self, source: str) -> Artifact:
        """Write the verdict into the artifact's manifest; `source` names the images. The model file does not change."""
        sha256 = self.artifact.manifest.sha256
        verdict = ParityVerdict.of(self.report, sha256=sha256, engine=self.engine, source=source)
        verdict = replace(verdict, passed=self.passed, failures=tuple(self.failures))
        return self.artifact.record("parity", verdict.as_dict())

    def as_dict(self) -> JsonObject:
        return {
            "artifact": str(self.artifact.path),
            "sha256": self.artifact.manifest.sha256,
            "model": self.artifact.model,
            "precision": self.artifact.precision,
            "size_bytes": self.artifact.size_bytes,
            "engine": self.engine,
            **self.report.as_dict(),
            "failures": self.failures,
            "passed": self.passed,
            "reference": None if self.reference is None else self.reference.as_dict(),
            "confidence": None if self.reliability is None else self.reliability.as_dict(),
            "elsewhere": None if self.elsewhere is None else self.elsewhere.as_dict(),
            **({} if self.files is None else {"image_files": self.files.as_dict()}),
        }


def check(
    artifacts: Sequence[Artifact],
    evaluation: Evaluation,
    *,
    trained: Path,
    reference: str | None = None,
    track: Track,
    elsewhere: Elsewhere | None = None,
) -> Iterator[CheckedArtifact]:
    """Compare each artifact, as its engine runs it, with the Keras model it was made from.

    Args:
        trained: folder of the zoo's `.keras` files.
        reference: path of the Keras model, for artifacts of a model that is not in the zoo.
        track: wraps the chunks of images in a progress bar.
        elsewhere: the artifacts' scores on another machine, which are then judged in place of this machine's, and
            compared with them.

    Yields in the order of `artifacts`. Raises ArtifactError when an artifact does not load, or the reference is not the
    file that it was made from, InputError for a precision without a gate.
    """
    # Unknown precisions and unusable files are found before minutes of work.
    gates = [gate_for(artifact.precision) for artifact in artifacts]
    outputs: dict[str, dict[str, np.ndarray]] = {}  # of tensor models
    for artifact in artifacts:
        check_has_keras(artifact)
        check_labels(evaluation.labels, artifact.contract)
        check_loads(artifact)
    references: dict[tuple[object, ...], Reference] = {}
    for artifact, gate in zip(artifacts, gates, strict=True):
        contract = artifact.contract
        if contract.task == TENSOR:
            if elsewhere is not None:
                raise InputError(f"{artifact.path}: --on compares scores, and its task is tensor; run `doctor` there")
            if artifact.model_sha256 not in outputs:
                checkpoint = load_checkpoint(reference or artifact.model, folder=trained)
                check_origin(artifact, checkpoint)
                outputs[artifact.model_sha256] = keras_outputs(checkpoint, contract, evaluation, track)
            compared_tensors, engine = check_tensor_artifact(
                artifact, outputs[artifact.model_sha256], evaluation, track
            )
            yield CheckedArtifact(artifact, engine, compared_tensors)
            continue
        key = (artifact.model_sha256, contract.preprocessing, contract.task, contract.thresholds)
        if key not in references:
            checkpoint = load_checkpoint(reference or artifact.model, folder=trained)
            check_origin(artifact, checkpoint)
            references[key] = judged_reference(checkpoint, artifact.contract, evaluation, track)
        with Classifier.load(artifact.path) as classifier:
            scores = scores_of(classifier, evaluation.images, track, f"{artifact.model} {artifact.path.name}")
            engine = classifier.engine.version
            there = None if elsewhere is None else elsewhere.scores[artifact.manifest.sha256]
            machines = None
            if elsewhere is not None and there is not None:
                machines = compare_machines(scores, there, elsewhere.where, artifact.manifest.kind, artifact.contract)
                scores, engine = there.scores, there.engine
            worth = reliability_of(artifact, classifier, scores, evaluation)
            files = compare_files(artifact, classifier, evaluation.files)
        report = compared(artifact, references[key].scores, scores, gate, evaluation)
        yield CheckedArtifact(artifact, engine, report, references[key], worth, machines, files)


def compared(
    artifact: Artifact, reference: np.ndarray, scores: np.ndarray, gate: Gate, evaluation: Evaluation
) -> ParityReport:
    if artifact.contract.task != CLASSIFICATION:
        return compare_labels(reference, scores, gate, artifact.contract, evaluation.labels)
    return compare(
        reference,
        scores,
        gate,
        labels=evaluation.labels,
        published_accuracy=published(artifact.model) if evaluation.published else None,
        output=artifact.contract.output,
    )


def check_loads(artifact: Artifact) -> None:
    """Raises ArtifactError unless the artifact loads and runs in a child process; file and manifest may be hostile."""
    if artifact.contract.task == TENSOR:
        Model.load(artifact.path, try_first=True).close()
    else:
        Classifier.load(artifact.path, try_first=True).close()


def scores_of(classifier: Classifier, images: np.ndarray, track: Track, label: str) -> np.ndarray:
    """The artifact's scores on all images, float32 (n, classes)."""
    return np.concatenate([classifier.scores(chunk) for chunk in track(chunks(images), label)])


def judged_reference(checkpoint: Checkpoint, contract: Contract, evaluation: Evaluation, track: Track) -> Reference:
    """Run the Keras model on all images and judge its answers, the contract and the images."""
    images = evaluation.images
    scores = reference_scores(checkpoint, contract, images, track)
    order = None
    if evaluation.labels is not None and contract.task == CLASSIFICATION:
        order = label_order(scores.argmax(axis=1), evaluation.labels, contract.labels, evaluation.source)
    doubts = (
        order,
        contradiction(contract.preprocessing, checkpoint),
        first_layer_warning(checkpoint.model, contract, images, f"the images ({evaluation.source})"),
    )
    if contract.task == CLASSIFICATION:
        health = reference_health(scores, images, evaluation.labels, contract.output)
    else:
        health = health_of_labels(scores, images, evaluation.labels, contract)
    return Reference(scores, health, tuple(doubt for doubt in doubts if doubt))


def reliability_of(
    artifact: Artifact, classifier: Classifier, scores: np.ndarray, evaluation: Evaluation
) -> Reliability | None:
    """What the manifest's confidence is worth on these images, and on images that are none of the classes.

    None without a confidence, or without labels. `classifier`: of the artifact; `scores`: its scores on the images.
    """
    confidence, contract = artifact.manifest.confidence, artifact.contract
    if confidence is None or evaluation.labels is None:
        return None
    outside = outside_images(contract.input_shape, digits=artifact.model in MODELS)
    unknown = {
        kind: ~confidence.known(classifier.scores(images), contract.output, images) for kind, images in outside.items()
    }
    return reliability(confidence, scores, evaluation.labels, evaluation.images, contract.output, unknown)


def reference_scores(checkpoint: Checkpoint, contract: Contract, images: np.ndarray, track: Track) -> np.ndarray:
    """The Keras model's scores on all images, preprocessed by the artifact's contract; float32 (n, classes)."""
    scores = []
    for chunk in track(chunks(images), f"{checkpoint.name} Keras reference"):
        batch = contract.preprocessing.apply(chunk, contract.input_shape)
        scores.append(np.asarray(checkpoint.model.predict_on_batch(batch)))
    return np.concatenate(scores)


def chunks(images: np.ndarray) -> list[np.ndarray]:
    return [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]


def check_has_keras(artifact: Artifact) -> None:
    """Raises ArtifactError for sources that were made of a `.tflite` file of which no Keras model is known."""
    source = artifact.manifest.document.get(EXPORTED_FROM)
    if isinstance(source, dict) and source.get("sha256") == artifact.model_sha256:
        raise ArtifactError(
            f"{artifact.path}: made of a .tflite file, and `check` compares with the Keras model, which its manifest "
            "does not name; `doctor` replays that file's answers"
        )


def check_origin(artifact: Artifact, checkpoint: Checkpoint) -> None:
    """Raises ArtifactError unless the artifact was made from this checkpoint."""
    if artifact.model_sha256 != checkpoint.sha256:
        raise ArtifactError(
            f"{artifact.path}: made from a model with SHA-256 {artifact.model_sha256[:12]}…, but {checkpoint.path} has "
            f"{checkpoint.sha256[:12]}…; export it again, or name its own model with --reference"
        )


def published(model: str) -> float | None:
    return MODELS[model].published_accuracy if model in MODELS else None
