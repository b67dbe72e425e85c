"""Compare an artifact with its reference where each label is a yes or no: the tasks `binary` and `multilabel`."""

from __future__ import annotations

import numpy as np

from fmnist_edge.catalog.gates import Gate
from fmnist_edge.errors import InputError
from fmnist_edge.parity.confidence import ConfidenceDrift, confidence_drift
from fmnist_edge.parity.paired import paired_accuracy
from fmnist_edge.parity.ranking import average_precision, roc_auc
from fmnist_edge.parity.reference import ReferenceHealth, reference_health
from fmnist_edge.parity.report import WORST_IMAGES, LabelReport, ParityReport, TaskReport, check_scores
from fmnist_edge.parity.statistics import Statistics, flip_rates
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.tasks import BINARY, MULTILABEL, answers_of, differ, probabilities

__all__ = ["check_labels", "compare_labels", "health_of_labels"]


def check_labels(labels: np.ndarray | None, contract: Contract) -> None:
    """Raises InputError for labels that do not fit the contract's task.

    Expected are class indices (n,), for a multilabel model 0 or 1 for each image and label (n, labels).
    """
    if labels is None:
        return
    count = len(contract.labels)
    if not count:
        raise InputError("--labels: the model's task is tensor, which has no labels; leave them out")
    shape = (len(labels), count) if contract.task == MULTILABEL else (len(labels),)
    if labels.shape != shape:
        raise InputError(f"labels are {labels.shape} for the task {contract.task}; expected {shape}")
    most = 1 if contract.task == MULTILABEL else count - 1
    if labels.size and not 0 <= labels.min() <= labels.max() <= most:
        what = f"0 or 1, as the task is {contract.task}" if most == 1 else f"class indices 0 to {most}"
        raise InputError(f"labels are {labels.min()} to {labels.max()}; expected {what}")


def compare_labels(
    reference: np.ndarray, candidate: np.ndarray, gate: Gate, contract: Contract, labels: np.ndarray | None = None
) -> ParityReport:
    """Compare the scores (n, score_count) of two forms of one model on the same n images.

    An image of a multilabel model counts as the same, or as right, if all of its labels are. Args and errors: see
    `compare` and `check_labels`.
    """
    check_scores(reference, candidate)
    check_labels(labels, contract)
    answers, new_answers = answers_of(reference, contract), answers_of(candidate, contract)
    rows, new_rows = probabilities(reference, contract), probabilities(candidate, contract)
    flipped = differ(answers, new_answers)
    right, new_right = (None if labels is None else ~differ(found, labels) for found in (answers, new_answers))
    delta = np.abs(candidate.astype(np.float64) - reference.astype(np.float64))
    order = np.lexsort((np.arange(len(delta)), -delta.max(axis=1), ~flipped))
    if contract.task == BINARY:
        rates = flip_rates(answers, new_answers, 2)
    else:
        rates = tuple(map(float, (answers != new_answers).mean(axis=0)))
    paired = None
    if right is not None and new_right is not None:
        paired = paired_accuracy(right, new_right, gate.non_inferiority_margin)
    statistics = Statistics(paired, float(flipped.mean()), rates, drift_of(rows, new_rows, contract, labels))
    return ParityReport(
        images=len(reference),
        agreement=float(1 - flipped.mean()),
        max_abs_delta=float(delta.max()),
        mean_abs_delta=float(delta.mean()),
        reference_accuracy=None if right is None else float(right.mean()),
        accuracy=None if new_right is None else float(new_right.mean()),
        published_accuracy=None,
        worst_images=tuple(int(index) for index in order[:WORST_IMAGES]),
        statistics=statistics,
        gate=gate,
        task=task_report(rows, new_rows, answers, new_answers, contract, labels),
    )


def drift_of(rows: np.ndarray, new_rows: np.ndarray, contract: Contract, labels: np.ndarray | None) -> ConfidenceDrift:
    """Drift of the confidence; for a multilabel model, of each label's yes or no."""
    if contract.task == BINARY:
        return confidence_drift(rows, new_rows, "probabilities", labels)
    pairs = [np.stack([1 - item.ravel(), item.ravel()], axis=1) for item in (rows, new_rows)]
    return confidence_drift(pairs[0], pairs[1], "probabilities", None if labels is None else labels.ravel().astype(int))


def task_report(
    rows: np.ndarray,
    new_rows: np.ndarray,
    answers: np.ndarray,
    new_answers: np.ndarray,
    contract: Contract,
    labels: np.ndarray | None,
) -> TaskReport:
    if contract.task == BINARY:
        auc: tuple[float | None, ...] = (None, None)
        if labels is not None:
            auc = tuple(roc_auc(found[:, 1], labels == 1) for found in (rows, new_rows))
        return TaskReport(BINARY, contract.thresholds, reference_auc=auc[0], auc=auc[1])
    found = []
    for index, name in enumerate(contract.labels):
        pair = answers[:, index], new_answers[:, index]
        agreement = float((pair[0] == pair[1]).mean())
        if labels is None:
            found.append(LabelReport(name, agreement))
            continue
        truth = labels[:, index] == 1
        right, new_right = (float((item == truth).mean()) for item in pair)
        found.append(
            LabelReport(
                name,
                agreement,
                right,
                new_right,
                average_precision(rows[:, index], truth),
                average_precision(new_rows[:, index], truth),
            )
        )
    before, after = (
        mean_of([getattr(item, name) for item in found])
        for name in ("reference_average_precision", "average_precision")
    )
    return TaskReport(MULTILABEL, contract.thresholds, labels=tuple(found), reference_mean_ap=before, mean_ap=after)


def mean_of(values: list[float | None]) -> float | None:
    """The mean of what is known; None if nothing is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def health_of_labels(
    scores: np.ndarray, images: np.ndarray, labels: np.ndarray | None, contract: Contract
) -> ReferenceHealth:
    """Whether the reference tells images apart, see `reference_health`. A multilabel one must for some label."""
    rows, answers = probabilities(scores, contract), answers_of(scores, contract)
    if contract.task == BINARY:
        return reference_health(rows, images, labels, "probabilities", answers)
    found = []
    for index, name in enumerate(contract.labels):
        pair = np.stack([1 - rows[:, index], rows[:, index]], axis=1)
        truth = None if labels is None else labels[:, index].astype(int)
        health = reference_health(pair, images, truth, "probabilities", answers[:, index].astype(int))
        if health.finding is None:
            return health
        found.append((name, health))
    name, health = found[0]
    return ReferenceHealth(**{**health.as_dict(), "finding": f"of every label, as of {name!r}: {health.finding}"})
