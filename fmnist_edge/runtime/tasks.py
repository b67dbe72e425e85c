"""What a model's outputs mean: its task, and how scores become probabilities and answers.

Devices, parity checks and golden vectors all use this code.
"""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.prediction import sigmoid, softmax

if TYPE_CHECKING:
    from fmnist_edge.runtime.contract import Contract

__all__ = [
    "BINARY", "CLASSIFICATION", "MULTILABEL", "TASKS", "TENSOR", "THRESHOLD", "answers_of", "check_task", "decide",
    "differ", "exceeded", "probabilities",
]  # fmt: skip

CLASSIFICATION, BINARY, MULTILABEL, TENSOR = "classification", "binary", "multilabel", "tensor"
TASKS = (CLASSIFICATION, BINARY, MULTILABEL, TENSOR)
THRESHOLD = 0.5  # Keras's, for both binary accuracy and multilabel accuracy
EXPECTED_LABELS = {
    CLASSIFICATION: "at least two labels, or no task that chooses among them",
    BINARY: "two labels, the second of which is the positive class",
}


def check_task(contract: Contract) -> tuple[float, ...]:
    """The thresholds of a contract, with the default filled in.

    Raises ArtifactError when the contract's labels, output, thresholds or tensors do not fit its task.
    """
    task, count = contract.task, len(contract.labels)
    if task not in TASKS:
        raise ArtifactError(f"contract: task is {reprlib.repr(task)}; expected {' or '.join(TASKS)}")
    tensor = task == TENSOR
    if tensor != (contract.output == "numbers") or tensor != bool(contract.inputs) or tensor != bool(contract.outputs):
        raise ArtifactError(
            f"contract: task {task} with output {contract.output}, {len(contract.inputs)} named inputs and "
            f"{len(contract.outputs)} named outputs; expected output numbers and named tensors for task tensor alone"
        )
    if tensor and count:
        raise ArtifactError(f"contract: task tensor with {count} labels; expected none: its outputs have names")
    if task == BINARY and count != 2:
        raise ArtifactError(f"contract: task binary with {count} labels; expected {EXPECTED_LABELS[BINARY]}")
    wanted = {BINARY: 1, MULTILABEL: count}.get(task, 0)
    thresholds = contract.thresholds or (THRESHOLD,) * wanted
    if len(thresholds) != wanted or not all(isinstance(value, float) and 0 < value < 1 for value in thresholds):
        raise ArtifactError(
            f"contract: task {task} with thresholds {reprlib.repr(thresholds)}; expected {wanted} between 0 and 1"
        )
    return thresholds


def probabilities(scores: np.ndarray, contract: Contract) -> np.ndarray:
    """Scores float32 (n, score_count) -> probabilities float32 (n, labels). Those of `multilabel` do not sum to 1."""
    given = contract.output == "probabilities"
    if contract.task == CLASSIFICATION:
        return scores if given else softmax(scores)
    positive = scores if given else sigmoid(scores)
    return np.concatenate([1 - positive, positive], axis=1) if contract.task == BINARY else positive


def decide(rows: np.ndarray, contract: Contract) -> np.ndarray:
    """Probabilities float32 (n, labels) -> the index of each answer, int (n,).

    The most likely class. For `binary`, the positive class if its probability exceeds the threshold.
    """
    if contract.task == BINARY:
        return (rows[:, 1] > np.float32(contract.thresholds[0])).astype(np.intp)
    return rows.argmax(axis=1)


def exceeded(rows: np.ndarray, contract: Contract) -> np.ndarray:
    """Which probabilities of a `multilabel` contract exceed their label's threshold, bool (n, labels)."""
    return rows > np.asarray(contract.thresholds, np.float32)


def answers_of(scores: np.ndarray, contract: Contract | None = None) -> np.ndarray:
    """Scores float32 (n, score_count) -> the class of each image, int (n,); of `multilabel`, bool (n, labels).

    `contract`: None for a classification.
    """
    if contract is None or contract.task == CLASSIFICATION:
        return np.asarray(scores.argmax(axis=1))
    rows = probabilities(scores, contract)
    return exceeded(rows, contract) if contract.task == MULTILABEL else decide(rows, contract)


def differ(answers: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which images have other answers, bool (n,); of `multilabel`, at least one other label."""
    different = np.asarray(answers != others)
    return different if different.ndim == 1 else np.asarray(different.any(axis=1))
